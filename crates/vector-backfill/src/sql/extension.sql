-- pgvector: installed (where, which), available (which, and whether who owns a database may create it), and what this
-- role may do.
select e.extversion, n.nspname::text, av.default_version, coalesce(v.trusted, false) or not coalesce(v.superuser, true),
       (select rolsuper from pg_catalog.pg_roles where rolname = current_user),
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
  from (values (1)) one
  left join pg_catalog.pg_extension e on e.extname = 'vector'
  left join pg_catalog.pg_namespace n on n.oid = e.extnamespace
  left join pg_catalog.pg_available_extensions av on av.name = 'vector'
  left join pg_catalog.pg_available_extension_versions v on v.name = av.name and v.version = av.default_version
