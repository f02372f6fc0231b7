-- $1: schemas. Every table that holds rows of its own (partition leaves and inheritance children too).
select c.oid, n.nspname::text, c.relname::text,
       greatest(c.reltuples, 0)::int8 as rows_estimate,
       pg_catalog.pg_table_size(c.oid)::int8 as bytes,
       (pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int8)::int8 as pages,
       c.relpersistence = 'u' as unlogged,
       coalesce((select array_agg(a.attname::text order by k.place)
                   from pg_catalog.pg_index i
                  cross join lateral unnest(i.indkey::int2[]) with ordinality k (attnum, place)
                   join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                  where i.indrelid = c.oid and i.indisprimary and k.place <= i.indnkeyatts), '{}') as key,
       pg_catalog.has_table_privilege(c.oid, 'select')
         and pg_catalog.has_schema_privilege(n.oid, 'usage') as readable,
       c.relrowsecurity and pg_catalog.row_security_active(c.oid) as filtered
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname = any ($1)
   and not exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by n.nspname, c.relname
