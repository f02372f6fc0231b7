-- Tables that other sessions hold a lock on that only writers and definers take.
select distinct format('%I.%I by pid %s', n.nspname, c.relname, l.pid)
 from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
 where l.locktype = 'relation' and l.database = (select oid from pg_database where datname = current_database())
  and l.granted and l.pid <> pg_backend_pid()
  and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  and c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'tierlift')
  and not exists (select from pg_stat_activity a where a.pid = l.pid and a.backend_type = 'autovacuum worker')
