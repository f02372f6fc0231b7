-- Connections left for this role and database within every limit there is, two kept for our own other sessions; and the
-- parallel workers this server was configured for, null when it has the defaults.
select greatest(0, least(
           current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
             - coalesce(s.reserved, 0) - s.backends,
           case when d.datconnlimit >= 0 then d.datconnlimit - s.here end,
           case when r.rolconnlimit >= 0 then r.rolconnlimit - s.mine end) - 2)::int8,
       (select min(setting::int8) from pg_settings
         where name in ('max_worker_processes', 'max_parallel_workers') and source <> 'default')
  from (select (select sum(numbackends) from pg_stat_database)::int8 as backends,
               (select numbackends from pg_stat_database where datname = current_database())::int8 as here,
               (select count(*) from pg_stat_activity where usename = current_user)::int8 as mine,
               (select setting::int8 from pg_settings where name = 'reserved_connections') as reserved) s
  join pg_database d on d.datname = current_database()
  join pg_roles r on r.rolname = current_user
