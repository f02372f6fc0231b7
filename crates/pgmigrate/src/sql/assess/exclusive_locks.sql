-- Sessions whose lock lets nobody read, the system's own tables aside; a prepared transaction has no process.
select coalesce(format('session %s of %s (%s)', l.pid, coalesce(a.usename, 'another role'), coalesce(a.state, 'unknown')),
                'a prepared transaction'),
       string_agg(distinct format('table %I.%I', n.nspname, c.relname), ', '),
       coalesce(l.pid::text, 'its process')
  from pg_locks l
  join pg_class c on c.oid = l.relation
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_stat_activity a on a.pid = l.pid
 where l.mode = 'AccessExclusiveLock' and l.pid is distinct from pg_backend_pid() and c.relkind in ('r', 'p', 'm')
   and l.database = (select oid from pg_database where datname = current_database()) and n.nspname <> 'pg_catalog'
 group by l.pid, a.usename, a.state
 order by 1
