-- Tables that other sessions hold a lock on that only writers and definers take. $1: when the fence went up.
-- A session that began behind the fence takes such a lock for a moment too, before its INSERT is refused for being
-- read-only: it counts only once it has a transaction id, which means that it did write.
select distinct format('%I.%I by pid %s', n.nspname, c.relname, l.pid)
 from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
 where l.locktype = 'relation' and l.database = (select oid from pg_database where datname = current_database())
  and l.granted and l.pid <> pg_backend_pid()
  and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  and c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'tierlift')
  and not exists (select
                    from pg_stat_activity a
                   where a.pid = l.pid
                     and (a.backend_type = 'autovacuum worker'
                          or (a.backend_xid is null and a.backend_start > $1::text::timestamptz)))
