-- $1, $2: catalogues and objects of the source that were left out. They, and all that cannot be without them.
with recursive gone (classid, objid) as (
    select * from unnest($1::oid[], $2::oid[]) left_out (classid, objid)
    union
    select n.classid, n.objid
      from gone g
     cross join lateral (
        select d.classid, d.objid from pg_catalog.pg_depend d
         where d.refclassid = g.classid and d.refobjid = g.objid and d.deptype in ('n', 'a', 'i', 'e')
        union all
        select 'pg_catalog.pg_class'::regclass, w.ev_class from pg_catalog.pg_rewrite w
         where g.classid = 'pg_catalog.pg_rewrite'::regclass and w.oid = g.objid and w.rulename = '_RETURN'
     ) n
)
select g.classid, g.objid, n.nspname::text, c.relname::text
  from gone g
  left join pg_catalog.pg_class c on g.classid = 'pg_catalog.pg_class'::regclass and c.oid = g.objid
  left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
