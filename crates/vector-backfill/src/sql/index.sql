-- The index named $1.$2, if there is one: on which table and column, how made, whether usable.
select i.indrelid = $3 as on_table, am.amname::text, coalesce(a.attname::text, ''), oc.opcname::text, i.indisvalid,
       c.reloptions, pg_catalog.pg_relation_size(c.oid)
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_index i on i.indexrelid = c.oid
  join pg_catalog.pg_am am on am.oid = c.relam
  join pg_catalog.pg_opclass oc on oc.oid = i.indclass[0]
  left join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
 where n.nspname = $1 and c.relname = $2
