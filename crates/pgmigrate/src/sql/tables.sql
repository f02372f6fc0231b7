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
       c.relrowsecurity and pg_catalog.row_security_active(c.oid) as filtered,
       h.nspname::text as placed_by_schema, h.relname::text as placed_by,
       c.relrowsecurity and c.relforcerowsecurity as forced
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  -- The topmost of its parents, where one of them cuts by a hash that another server computes otherwise: an enum's is its
  -- label's oid, a collation that is not deterministic hashes what its library says. Of other types than the system's
  -- own, and of expressions, nobody knows.
  left join lateral (
    select rn.nspname, r.relname
      from pg_catalog.pg_class r
      join pg_catalog.pg_namespace rn on rn.oid = r.relnamespace
     where c.relispartition and r.oid = pg_catalog.pg_partition_root(c.oid)
       and exists (
        select from pg_catalog.pg_partition_ancestors(c.oid) above
          join pg_catalog.pg_partitioned_table p on p.partrelid = above.relid and p.partstrat = 'h'
         cross join lateral unnest(p.partattrs::int2[], p.partcollation::oid[]) k (attnum, collation_id)
          left join pg_catalog.pg_attribute a on a.attrelid = p.partrelid and a.attnum = k.attnum and k.attnum > 0
          left join pg_catalog.pg_type t on t.oid = a.atttypid
          left join pg_catalog.pg_collation l on l.oid = k.collation_id
         where t.oid is null or t.typnamespace <> 'pg_catalog'::regnamespace or t.typname ~ '^_?reg'
            or not coalesce(l.collisdeterministic, true))
  ) h on true
 where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname = any ($1)
   and not exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by n.nspname, c.relname
