-- $1: schemas. What keeps text in the order of the database's own collation (the one called default).
with collated as (select oid from pg_collation where collname = 'default' and collnamespace = 'pg_catalog'::regnamespace)
select case when k.contype = 'x' then format('constraint %I on %s', k.conname, k.conrelid::regclass)
            when k.oid is not null then format('unique constraint %I on %s', k.conname, k.conrelid::regclass)
            else format('index %I.%I', n.nspname, c.relname) end,
       case when k.contype = 'x' then 'exclusion' when i.indisunique then 'unique' else 'index' end
  from pg_index i
  join pg_class c on c.oid = i.indexrelid
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_constraint k on k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')
 where n.nspname = any ($1)
   and exists (select from unnest(i.indcollation::oid[]) with ordinality x (coll, place)
                join pg_opclass o on o.oid = (i.indclass::oid[])[place - 1]
               where x.coll in (select oid from collated) and o.opcname not like '%pattern_ops')
union all
select format('table %I.%I', n.nspname, c.relname), 'bounds'
  from pg_partitioned_table p
  join pg_class c on c.oid = p.partrelid
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = any ($1) and p.partstrat = 'r'
   and exists (select from unnest(p.partcollation::oid[]) x (coll) where x.coll in (select oid from collated))
 order by 2, 1
