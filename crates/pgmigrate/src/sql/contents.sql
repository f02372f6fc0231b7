-- Objects outside the system's, tierlift's and extensions' own, with their schema.
with spaces as (
    select oid, nspname from pg_catalog.pg_namespace
     where nspname !~ '^pg_' and nspname not in ('information_schema', 'tierlift')
),
things (classid, objid, schema) as (
    select 'pg_catalog.pg_class'::regclass::oid, c.oid, s.nspname from pg_catalog.pg_class c join spaces s on s.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c')
    union all
    select 'pg_catalog.pg_proc'::regclass, p.oid, s.nspname from pg_catalog.pg_proc p join spaces s on s.oid = p.pronamespace
    union all
    select 'pg_catalog.pg_type'::regclass, t.oid, s.nspname from pg_catalog.pg_type t join spaces s on s.oid = t.typnamespace
     where t.typtype in ('d', 'e', 'r')
)
select t.schema::text, pg_catalog.pg_describe_object(t.classid, t.objid, 0)
  from things t
 where not exists (select from pg_catalog.pg_depend d
                    where d.classid = t.classid and d.objid = t.objid and d.deptype = 'e')
   and not exists (select from pg_catalog.pg_depend d join pg_catalog.pg_class c on c.oid = d.refobjid
                    where d.classid = t.classid and d.objid = t.objid and d.deptype in ('i', 'a')
                      and d.refclassid = 'pg_catalog.pg_class'::regclass and c.relkind in ('r', 'p'))
union all
select '', format('%s large objects', count(*)) from pg_catalog.pg_largeobject_metadata having count(*) > 0
 order by 1, 2
