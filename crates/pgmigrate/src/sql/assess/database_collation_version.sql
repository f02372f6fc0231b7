-- The database's own collation, from version 15 on.
select format('database %I', datname),
       format('its collation was version %s when it was made and is %s now', datcollversion,
              pg_database_collation_actual_version(oid))
  from pg_database
 where datname = current_database() and datcollversion is not null
   and datcollversion <> pg_database_collation_actual_version(oid)
