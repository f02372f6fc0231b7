-- $1: schemas. Every column of every relation there that could be taken for a table, relations without columns too:
-- (schema, name, kind, the role may load it, row security hides rows, column, type, it must be filled, generated).
select n.nspname::text, c.relname::text, c.relkind::text,
       pg_catalog.has_table_privilege(c.oid, 'select') and pg_catalog.has_table_privilege(c.oid, 'insert')
         and pg_catalog.has_table_privilege(c.oid, 'truncate') and pg_catalog.has_schema_privilege(n.oid, 'usage'),
       c.relrowsecurity and pg_catalog.row_security_active(c.oid),
       a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
       (a.attnotnull or (t.typtype = 'd' and t.typnotnull)) and not a.atthasdef and a.attidentity = ''
         and t.typdefault is null and a.attgenerated = '',
       a.attgenerated <> ''
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_catalog.pg_type t on t.oid = a.atttypid
 where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname = any ($1)
