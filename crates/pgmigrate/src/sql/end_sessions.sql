-- $1, $2: moments. Ends client sessions that began between them, ours and those we may not end aside.
select count(pg_terminate_backend(a.pid))
 from pg_stat_activity a
 join pg_roles me on me.rolname = current_user
 left join pg_roles theirs on theirs.oid = a.usesysid
 where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
  and a.application_name <> 'tierlift'
  and a.backend_start >= $1::text::timestamptz and a.backend_start <= $2::text::timestamptz
  and (me.rolsuper or (not theirs.rolsuper
       and (pg_has_role(a.usesysid, 'usage') or pg_has_role('pg_signal_backend', 'usage'))))
