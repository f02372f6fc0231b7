-- after app_objects.sql; $2: the provider's schemas. Objects of the application that lean on one of the provider's,
-- extension members aside (those come with their extension), and what they lean on.
, foreign_objects (classid, objid, schema, name) as (
    select 'pg_catalog.pg_class'::regclass::oid, c.oid, n.nspname::text, c.relname::text
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = any ($2) and c.relkind <> 'i'
    union all
    select 'pg_catalog.pg_proc'::regclass, p.oid, n.nspname::text, p.proname::text
      from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace where n.nspname = any ($2)
    union all
    select 'pg_catalog.pg_type'::regclass, t.oid, n.nspname::text, t.typname::text
      from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace where n.nspname = any ($2)
)
select a.classid, a.objid,
       -- A view's rule is the view, for people.
       case when a.classid = 'pg_catalog.pg_rewrite'::regclass
            then (select case w.rulename when '_RETURN' then pg_catalog.pg_describe_object('pg_catalog.pg_class'::regclass, w.ev_class, 0)
                                         else pg_catalog.pg_describe_object(a.classid, a.objid, 0) end
                    from pg_catalog.pg_rewrite w where w.oid = a.objid)
            else pg_catalog.pg_describe_object(a.classid, a.objid, 0) end,
       f.schema, f.name, f.classid = 'pg_catalog.pg_class'::regclass,
       coalesce((select attname::text from pg_catalog.pg_attribute
                  where f.classid = 'pg_catalog.pg_class'::regclass and attrelid = f.objid and attnum = d.refobjsubid
                    and d.refobjsubid > 0), ''),
       pg_catalog.pg_describe_object(f.classid, f.objid, 0)
  from app a
  join pg_catalog.pg_depend d on d.classid = a.classid and d.objid = a.objid
  join foreign_objects f on f.classid = d.refclassid and f.objid = d.refobjid
 where not exists (select from pg_catalog.pg_depend e
                    where e.classid = f.classid and e.objid = f.objid and e.deptype = 'e')
 order by 3, 8, 7
