-- $1: a schema. What is in it, as (kind, name) that `drop` understands; parts of other objects and of extensions aside.
with things (classid, objid) as (
    select 'pg_catalog.pg_class'::regclass::oid, oid from pg_catalog.pg_class
     where relnamespace = to_regnamespace($1) and relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c')
    union all
    select 'pg_catalog.pg_proc'::regclass, oid from pg_catalog.pg_proc where pronamespace = to_regnamespace($1)
    union all
    select 'pg_catalog.pg_type'::regclass, oid from pg_catalog.pg_type
     where typnamespace = to_regnamespace($1) and typtype in ('b', 'd', 'e', 'r', 'p') and typelem = 0
    union all
    select 'pg_catalog.pg_opfamily'::regclass, oid from pg_catalog.pg_opfamily where opfnamespace = to_regnamespace($1)
    union all
    select 'pg_catalog.pg_opclass'::regclass, oid from pg_catalog.pg_opclass where opcnamespace = to_regnamespace($1)
    union all
    select 'pg_catalog.pg_operator'::regclass, oid from pg_catalog.pg_operator where oprnamespace = to_regnamespace($1)
    union all
    select 'pg_catalog.pg_collation'::regclass, oid from pg_catalog.pg_collation where collnamespace = to_regnamespace($1)
    union all
    select 'pg_catalog.pg_conversion'::regclass, oid from pg_catalog.pg_conversion where connamespace = to_regnamespace($1)
    union all
    select 'pg_catalog.pg_ts_config'::regclass, oid from pg_catalog.pg_ts_config where cfgnamespace = to_regnamespace($1)
    union all
    select 'pg_catalog.pg_ts_dict'::regclass, oid from pg_catalog.pg_ts_dict where dictnamespace = to_regnamespace($1)
    union all
    select 'pg_catalog.pg_ts_parser'::regclass, oid from pg_catalog.pg_ts_parser where prsnamespace = to_regnamespace($1)
    union all
    select 'pg_catalog.pg_ts_template'::regclass, oid from pg_catalog.pg_ts_template where tmplnamespace = to_regnamespace($1)
    union all
    select 'pg_catalog.pg_statistic_ext'::regclass, oid from pg_catalog.pg_statistic_ext
     where stxnamespace = to_regnamespace($1)
)
select case i.type when 'statistics object' then 'statistics' when 'composite type' then 'type' else i.type end, i.identity
  from things t cross join lateral pg_catalog.pg_identify_object(t.classid, t.objid, 0) i
 where not exists (select from pg_catalog.pg_depend d
                    where d.classid = t.classid and d.objid = t.objid and d.deptype in ('e', 'i')
                      and d.refobjid <> t.objid)
