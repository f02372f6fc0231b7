-- $1: schemas. Opens a query with `app`: every object of the application that can depend on something.
with recursive spaces as (select oid from pg_catalog.pg_namespace where nspname = any ($1)),
relations as (select c.oid from pg_catalog.pg_class c join spaces s on s.oid = c.relnamespace),
everything (classid, objid) as (
    select 'pg_catalog.pg_class'::regclass::oid, oid from relations
    union all select 'pg_catalog.pg_proc'::regclass, p.oid from pg_catalog.pg_proc p join spaces s on s.oid = p.pronamespace
    union all select 'pg_catalog.pg_type'::regclass, t.oid from pg_catalog.pg_type t join spaces s on s.oid = t.typnamespace
    union all select 'pg_catalog.pg_operator'::regclass, o.oid from pg_catalog.pg_operator o join spaces s on s.oid = o.oprnamespace
    union all select 'pg_catalog.pg_constraint'::regclass, k.oid from pg_catalog.pg_constraint k join spaces s on s.oid = k.connamespace
    union all select 'pg_catalog.pg_attrdef'::regclass, d.oid from pg_catalog.pg_attrdef d join relations r on r.oid = d.adrelid
    union all select 'pg_catalog.pg_policy'::regclass, p.oid from pg_catalog.pg_policy p join relations r on r.oid = p.polrelid
    union all select 'pg_catalog.pg_rewrite'::regclass, w.oid from pg_catalog.pg_rewrite w join relations r on r.oid = w.ev_class
    union all select 'pg_catalog.pg_trigger'::regclass, t.oid from pg_catalog.pg_trigger t join relations r on r.oid = t.tgrelid
                where not t.tgisinternal
),
app as (
    select e.classid, e.objid from everything e
     where not exists (select from pg_catalog.pg_depend d
                        where d.classid = e.classid and d.objid = e.objid and d.deptype = 'e')
)
