-- A table, whether we may change it, and whether we may read all of it. $1 schema, $2 name.
select c.oid, c.relkind::text, c.reltuples::float8, pg_catalog.pg_has_role(c.relowner, 'USAGE') as owned,
       pg_catalog.has_table_privilege(c.oid, 'select') and pg_catalog.has_schema_privilege(n.oid, 'usage') as readable,
       c.relrowsecurity and (c.relforcerowsecurity or not pg_catalog.pg_has_role(c.relowner, 'USAGE'))
         and not (select r.rolsuper or r.rolbypassrls from pg_catalog.pg_roles r where r.rolname = current_user) as filtered
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1 and c.relname = $2
