-- The columns of table $1. For vector types the modifier is the number of dimensions, -1 when any.
select a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), t.typname::text, a.atttypmod,
       t.typcategory = 'S' as is_text, a.attgenerated <> '' as is_generated
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_type t on t.oid = a.atttypid
 where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
 order by a.attnum
