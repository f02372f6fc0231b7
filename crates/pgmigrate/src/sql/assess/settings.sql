-- Settings as a session gets them that sets none of its own (reset_val), and our role. Settings that a version or a
-- provider does not have are null.
with s as (select name, reset_val from pg_settings),
n as (select coalesce(sum(case when name = 'max_locks_per_transaction' then reset_val::int8 end), 64) as locks,
             -- Slots for processes of every kind; version 18 keeps autovacuum's under another name.
             sum(case when name in ('max_connections', 'max_prepared_transactions', 'max_worker_processes', 'max_wal_senders')
                        or name = case when exists (select from s where name = 'autovacuum_worker_slots')
                                       then 'autovacuum_worker_slots' else 'autovacuum_max_workers' end
                      then reset_val::int8 end) as processes
        from s)
select current_user::text,
       current_setting('wal_level'),
       current_setting('max_replication_slots')::int8,
       current_setting('max_wal_senders')::int8,
       nullif(current_setting('max_slot_wal_keep_size', true), '-1'),
       coalesce(current_setting('cloudsql.logical_decoding', true), current_setting('alloydb.logical_decoding', true)),
       (select reset_val::int8 from s where name = 'statement_timeout'),
       (select reset_val::bool from s where name = 'default_transaction_read_only'),
       current_setting('data_checksums')::bool,
       current_setting('autovacuum')::bool,
       (n.locks * n.processes)::int8,
       greatest(0, current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
                    - (select count(*) from pg_stat_activity where backend_type = 'client backend')),
       r.rolreplication or r.rolsuper,
       r.rolsuper,
       pg_database_size(current_database())::int8
  from n, pg_roles r
 where r.rolname = current_user
