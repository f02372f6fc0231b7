-- $1: schemas. Columns with a collation of their own that a library outside Postgres defines.
select format('column %I.%I.%I (%s)', n.nspname, c.relname, a.attname, l.collname)
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
  join pg_collation l on l.oid = a.attcollation
 where n.nspname = any ($1) and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
   and l.collprovider in ('c', 'i') and l.collname not in ('C', 'POSIX', 'default', 'ucs_basic')
 order by 1
