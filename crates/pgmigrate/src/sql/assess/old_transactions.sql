-- Transactions open for more than a minute that may still write; ours and backups' aside.
select format('session %s of %s (%s)', pid, coalesce(usename, 'another role'), coalesce(state, 'unknown')),
       justify_interval(date_trunc('second', clock_timestamp() - xact_start))::text
  from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
   and application_name <> 'tierlift' and clock_timestamp() - xact_start > interval '1 minute'
 order by xact_start
