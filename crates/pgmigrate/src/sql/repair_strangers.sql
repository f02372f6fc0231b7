-- Other clients of this database, the provider's own aside (superusers, where we are none).
select format('pid %s, role %s%s', a.pid, a.usename, coalesce(nullif(format(', %s', a.application_name), ', '), ''))
  from pg_catalog.pg_stat_activity a
  join pg_catalog.pg_roles me on me.rolname = current_user
  left join pg_catalog.pg_roles theirs on theirs.oid = a.usesysid
 where a.datname = current_database() and a.pid <> pg_backend_pid()
   and coalesce(a.backend_type, 'client backend') = 'client backend'
   and coalesce(a.application_name, '') <> 'tierlift' and (me.rolsuper or not theirs.rolsuper)
 order by a.pid
