-- $1: schemas.
select format('function %s', p.oid::regprocedure), l.lanname::text
  from pg_proc p join pg_language l on l.oid = p.prolang join pg_namespace n on n.oid = p.pronamespace
 where n.nspname = any ($1) and not l.lanpltrusted
   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
 order by 1
