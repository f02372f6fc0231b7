-- $1: schemas. pg_dump leaves invalid indexes out, those of partitioned tables (which wait for their parts) aside.
select format('index %I.%I', n.nspname, c.relname)
  from pg_index i
  join pg_class c on c.oid = i.indexrelid
  join pg_class t on t.oid = i.indrelid
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = any ($1) and t.relkind <> 'p' and not (i.indisvalid and i.indisready)
 order by 1
