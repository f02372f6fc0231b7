-- $1: schemas. What follows the rows of an ordinary table: its indexes, keys and foreign keys.
-- A key among several indexes also says how its index alone would be made, so that they can be built side by side.
with tables as (
    select c.oid, (select count(*) from pg_catalog.pg_index i where i.indrelid = c.oid) as indexes
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and n.nspname = any ($1)
)
select 'pg_catalog.pg_class'::regclass::oid as class, i.indexrelid as oid, 'i' as kind, i.indrelid as of_table,
       0::oid as to_table, null::text as name, null::text as index_sql, false as deferrable, false as deferred
  from pg_catalog.pg_index i join tables t on t.oid = i.indrelid
union all
select 'pg_catalog.pg_constraint'::regclass, k.oid, k.contype::text, k.conrelid, k.confrelid, k.conname::text,
       case when k.contype in ('p', 'u') and t.indexes > 1 and a.amname = 'btree'
            then pg_catalog.pg_get_indexdef(k.conindid) end,
       k.condeferrable, k.condeferred
  from pg_catalog.pg_constraint k
  join tables t on t.oid = k.conrelid
  left join pg_catalog.pg_class x on x.oid = k.conindid
  left join pg_catalog.pg_am a on a.oid = x.relam
 where k.contype in ('p', 'u', 'x') or (k.contype = 'f' and k.conparentid = 0)
