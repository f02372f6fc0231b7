-- after app_objects.sql: every extension, the tables it keeps configuration in, and what of the application leans on it:
-- by dependency, or (function bodies kept as strings are no dependencies) by naming one of its functions, and then
-- whatever leans on that in turn. A part of something that is named already is not named again. $2, $3: catalogues and
-- objects that stay behind.
, stays as (select * from unnest($2::oid[], $3::oid[]) as u (classid, objid)),
members as (
    select d.refobjid as extension, d.classid, d.objid from pg_catalog.pg_depend d
     where d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
),
leaning (extension, classid, objid, objsubid) as (
    select m.extension, a.classid, a.objid, d.objsubid
      from members m
      join pg_catalog.pg_depend d on d.refclassid = m.classid and d.refobjid = m.objid
      join app a on a.classid = d.classid and a.objid = d.objid
     where (a.classid, a.objid) not in (select classid, objid from stays)
    union
    select m.extension, a.classid, a.objid, 0
      from members m
      join pg_catalog.pg_proc f on m.classid = 'pg_catalog.pg_proc'::regclass and f.oid = m.objid
      join pg_catalog.pg_proc p on p.prosrc ~ ('\m' || f.proname || '\s*\(')
      join app a on a.classid = 'pg_catalog.pg_proc'::regclass and a.objid = p.oid
      join pg_catalog.pg_language l on l.oid = p.prolang and l.lanname in ('sql', 'plpgsql')
     where f.proname ~ '^\w+$' and (a.classid, a.objid) not in (select classid, objid from stays)
       and not exists (select from pg_catalog.pg_proc b where b.proname = f.proname
                        and b.pronamespace = 'pg_catalog'::regnamespace)
),
tree (extension, classid, objid) as (
    select extension, classid, objid from leaning
    union
    select t.extension, a.classid, a.objid
      from tree t
     cross join lateral (
        select d.classid, d.objid from pg_catalog.pg_depend d
         where d.refclassid = t.classid and d.refobjid = t.objid and d.deptype in ('n', 'a', 'i')
        union all
        select 'pg_catalog.pg_class'::regclass, w.ev_class from pg_catalog.pg_rewrite w
         where t.classid = 'pg_catalog.pg_rewrite'::regclass and w.oid = t.objid
     ) n
      join app a on a.classid = n.classid and a.objid = n.objid
     where (a.classid, a.objid) not in (select classid, objid from stays)
),
parts (extension, classid, objid, whole) as (
    select t.extension, t.classid, t.objid,
           coalesce(k.conrelid, g.tgrelid, p.polrelid, f.adrelid, i.indrelid, w.ev_class, nullif(y.typrelid, 0),
                    (select d.refobjid from pg_catalog.pg_depend d
                      where c.relkind = 'S' and d.classid = t.classid and d.objid = c.oid
                        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i')),
                    case when y.typelem <> 0 and y.typlen = -1 then 0::oid end)
      from tree t
      left join pg_catalog.pg_constraint k on t.classid = 'pg_catalog.pg_constraint'::regclass and k.oid = t.objid
      left join pg_catalog.pg_trigger g on t.classid = 'pg_catalog.pg_trigger'::regclass and g.oid = t.objid
      left join pg_catalog.pg_policy p on t.classid = 'pg_catalog.pg_policy'::regclass and p.oid = t.objid
      left join pg_catalog.pg_attrdef f on t.classid = 'pg_catalog.pg_attrdef'::regclass and f.oid = t.objid
      left join pg_catalog.pg_rewrite w on t.classid = 'pg_catalog.pg_rewrite'::regclass and w.oid = t.objid
      left join pg_catalog.pg_type y on t.classid = 'pg_catalog.pg_type'::regclass and y.oid = t.objid
      left join pg_catalog.pg_class c on t.classid = 'pg_catalog.pg_class'::regclass and c.oid = t.objid
      left join pg_catalog.pg_index i on i.indexrelid = c.oid
),
named (extension, place, name) as (
    select l.extension, 1, pg_catalog.pg_describe_object(l.classid, l.objid, l.objsubid) from leaning l
     where l.classid not in ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_type'::regclass)
    union
    select p.extension, 2, pg_catalog.pg_describe_object(p.classid, p.objid, 0) from parts p
     where p.whole is distinct from 0::oid
       and not exists (select from tree t where t.extension = p.extension and t.objid = p.whole
                          and t.classid = 'pg_catalog.pg_class'::regclass)
       and not exists (select from leaning l where l.extension = p.extension and l.classid = p.classid and l.objid = p.objid
                          and l.classid <> 'pg_catalog.pg_type'::regclass)
)
select x.extname::text, x.extversion::text, n.nspname::text,
       coalesce((select array_agg(c::regclass::text) from unnest(x.extconfig) c), '{}'),
       coalesce((select array_agg(d.name order by d.place, d.name) from named d where d.extension = x.oid), '{}'), x.oid
  from pg_catalog.pg_extension x join pg_catalog.pg_namespace n on n.oid = x.extnamespace
 order by x.oid
