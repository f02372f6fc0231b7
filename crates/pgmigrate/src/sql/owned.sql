-- $1: schemas; $2: roles. What belongs to one of those roles and can be handed to another by itself, as (catalogue,
-- object, schema, owner, kind and identity as `alter` wants them), schemas first.
with spaces as (select oid, nspname::text as name, nspowner from pg_catalog.pg_namespace where nspname = any ($1)),
things (place, classid, objid, schema, owner) as (
    select 1, 'pg_catalog.pg_namespace'::regclass::oid, oid, name, nspowner from spaces
    union all
    select 2, 'pg_catalog.pg_class'::regclass, c.oid, s.name, c.relowner
      from pg_catalog.pg_class c join spaces s on s.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
       and not exists (select from pg_catalog.pg_depend d -- a sequence that belongs to a column follows its table
                        where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and c.relkind = 'S'
                          and d.refclassid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i'))
    union all
    select 2, 'pg_catalog.pg_proc'::regclass, p.oid, s.name, p.proowner
      from pg_catalog.pg_proc p join spaces s on s.oid = p.pronamespace
    union all
    select 2, 'pg_catalog.pg_type'::regclass, t.oid, s.name, t.typowner
      from pg_catalog.pg_type t join spaces s on s.oid = t.typnamespace
      left join pg_catalog.pg_class c on c.oid = t.typrelid
     where (c.oid is null or c.relkind = 'c') and t.typtype <> 'm'
       and not exists (select from pg_catalog.pg_type e where e.typarray = t.oid)
    union all
    select 2, 'pg_catalog.pg_operator'::regclass, o.oid, s.name, o.oprowner
      from pg_catalog.pg_operator o join spaces s on s.oid = o.oprnamespace
    union all
    select 2, 'pg_catalog.pg_opclass'::regclass, o.oid, s.name, o.opcowner
      from pg_catalog.pg_opclass o join spaces s on s.oid = o.opcnamespace
    union all
    select 2, 'pg_catalog.pg_opfamily'::regclass, o.oid, s.name, o.opfowner
      from pg_catalog.pg_opfamily o join spaces s on s.oid = o.opfnamespace
    union all
    select 2, 'pg_catalog.pg_collation'::regclass, o.oid, s.name, o.collowner
      from pg_catalog.pg_collation o join spaces s on s.oid = o.collnamespace
    union all
    select 2, 'pg_catalog.pg_conversion'::regclass, o.oid, s.name, o.conowner
      from pg_catalog.pg_conversion o join spaces s on s.oid = o.connamespace
    union all
    select 2, 'pg_catalog.pg_ts_config'::regclass, o.oid, s.name, o.cfgowner
      from pg_catalog.pg_ts_config o join spaces s on s.oid = o.cfgnamespace
    union all
    select 2, 'pg_catalog.pg_ts_dict'::regclass, o.oid, s.name, o.dictowner
      from pg_catalog.pg_ts_dict o join spaces s on s.oid = o.dictnamespace
    union all
    select 2, 'pg_catalog.pg_statistic_ext'::regclass, o.oid, s.name, o.stxowner
      from pg_catalog.pg_statistic_ext o join spaces s on s.oid = o.stxnamespace
)
select t.classid, t.objid, t.schema, r.rolname::text,
       case i.type when 'statistics object' then 'statistics' when 'composite type' then 'type' else i.type end, i.identity
  from things t
  join pg_catalog.pg_roles r on r.oid = t.owner
 cross join lateral pg_catalog.pg_identify_object(t.classid, t.objid, 0) i
 where r.rolname = any ($2)
   and not exists (select from pg_catalog.pg_depend d
                    where d.classid = t.classid and d.objid = t.objid and d.deptype = 'e')
 order by t.place, i.identity
