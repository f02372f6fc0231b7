-- $1: schemas.
select format('constraint %I on %s', k.conname, k.conrelid::regclass)
  from pg_constraint k join pg_namespace n on n.oid = k.connamespace
 where n.nspname = any ($1) and k.conrelid <> 0 and not k.convalidated
 order by 1
