-- Everything in the database's schemas that `drop` knows, save the system's, tierlift's and extensions' own: whether the
-- copy made it, how to drop it, and, for what the copy did not make, what of the copy it cannot be without. Then the
-- parts of others' tables that cannot be without the copy's objects: foreign keys, policies, triggers, defaults.
-- The copy's own are told by the record of entries it sent, which names an object as pg_dump does (a function with the
-- types of its arguments in quotes, so there all quotes are left out). What is a part of the copy's goes with it:
-- partitions, owned sequences, statistics. $1, $2: schemas that the copy renamed, as the record has them and as they are
-- called now; what is called today as one of them was called then is somebody else's.
with recursive renamed (was, now) as (select * from unnest($1::text[], $2::text[])),
spaces as (
    select n.oid, coalesce(r.was, case when n.nspname in (select was from renamed) then '' else n.nspname end)::text as nspname
      from pg_catalog.pg_namespace n left join renamed r on r.now = n.nspname
     where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'tierlift')
),
things (classid, objid, schema, tag, kind) as (
    select 'pg_catalog.pg_class'::regclass::oid, c.oid, c.relnamespace, c.relname::text,
           case c.relkind when 'v' then 'VIEW' when 'm' then 'MATERIALIZED VIEW' when 'S' then 'SEQUENCE'
                          when 'f' then 'FOREIGN TABLE' else 'TABLE' end
      from pg_catalog.pg_class c where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    union all
    select 'pg_catalog.pg_proc'::regclass, p.oid, p.pronamespace,
           p.proname || '(' || case when p.prokind = 'a' and p.pronargs = 0 then '*' else
             array_to_string(array(select coalesce(replace(pg_catalog.format_type(a.type, null), quote_ident(r.now) || '.',
                                                           quote_ident(r.was) || '.'), pg_catalog.format_type(a.type, null))
                                     from unnest(p.proargtypes) with ordinality a (type, place)
                                     join pg_catalog.pg_type t on t.oid = a.type
                                     join pg_catalog.pg_namespace n on n.oid = t.typnamespace
                                     left join renamed r on r.now = n.nspname order by a.place), ', ') end || ')',
           case p.prokind when 'a' then 'AGGREGATE' when 'p' then 'PROCEDURE' else 'FUNCTION' end
      from pg_catalog.pg_proc p
    union all
    select 'pg_catalog.pg_type'::regclass, t.oid, t.typnamespace, t.typname::text,
           case t.typtype when 'd' then 'DOMAIN' else 'TYPE' end
      from pg_catalog.pg_type t left join pg_catalog.pg_class c on c.oid = t.typrelid
     where (t.typtype in ('b', 'd', 'e', 'r', 'p') and not (t.typelem <> 0 and t.typlen = -1)) or c.relkind = 'c'
    union all
    select 'pg_catalog.pg_opfamily'::regclass, oid, opfnamespace, opfname::text, 'OPERATOR FAMILY' from pg_catalog.pg_opfamily
    union all
    select 'pg_catalog.pg_opclass'::regclass, oid, opcnamespace, opcname::text, 'OPERATOR CLASS' from pg_catalog.pg_opclass
    union all
    select 'pg_catalog.pg_operator'::regclass, oid, oprnamespace, oprname::text, 'OPERATOR' from pg_catalog.pg_operator
    union all
    select 'pg_catalog.pg_collation'::regclass, oid, collnamespace, collname::text, 'COLLATION' from pg_catalog.pg_collation
    union all
    select 'pg_catalog.pg_conversion'::regclass, oid, connamespace, conname::text, 'CONVERSION' from pg_catalog.pg_conversion
    union all
    select 'pg_catalog.pg_ts_config'::regclass, oid, cfgnamespace, cfgname::text, 'TEXT SEARCH CONFIGURATION' from pg_catalog.pg_ts_config
    union all
    select 'pg_catalog.pg_ts_dict'::regclass, oid, dictnamespace, dictname::text, 'TEXT SEARCH DICTIONARY' from pg_catalog.pg_ts_dict
    union all
    select 'pg_catalog.pg_ts_parser'::regclass, oid, prsnamespace, prsname::text, 'TEXT SEARCH PARSER' from pg_catalog.pg_ts_parser
    union all
    select 'pg_catalog.pg_ts_template'::regclass, oid, tmplnamespace, tmplname::text, 'TEXT SEARCH TEMPLATE' from pg_catalog.pg_ts_template
    union all
    select 'pg_catalog.pg_statistic_ext'::regclass, oid, stxnamespace, stxname::text, 'STATISTICS' from pg_catalog.pg_statistic_ext
),
recorded (entry) as (
    select left(entry, -9) from tierlift.copy_entry
    union
    select replace(left(entry, -9), '"', '') from tierlift.copy_entry where entry ~ '^(FUNCTION|PROCEDURE|AGGREGATE) '
),
shim (there) as (select exists (select from tierlift.copy_entry where entry = 'SHIM auth')),
found as (
    select t.classid, t.objid,
           r.entry is not null
             or (shim.there and s.nspname = 'auth' and t.tag in ('uid()', 'jwt()', 'role()', 'email()', 'users')) as made
      from things t cross join shim
      join spaces s on s.oid = t.schema
     cross join lateral (select t.kind || ' ' || s.nspname || '.' || t.tag) l (label)
      left join recorded r
        on r.entry = case when t.kind in ('FUNCTION', 'PROCEDURE', 'AGGREGATE') then replace(l.label, '"', '') else l.label end
     where not exists (select from pg_catalog.pg_depend d
                        where d.classid = t.classid and d.objid = t.objid and d.deptype in ('e', 'i')
                          and d.refobjid <> t.objid)
),
ours (classid, objid) as (
    select classid, objid from found where made
    union
    select d.classid, d.objid from ours o
      join pg_catalog.pg_depend d on d.refclassid = o.classid and d.refobjid = o.objid and d.deptype = 'a'
      join found f on f.classid = d.classid and f.objid = d.objid
),
others (classid, objid) as (
    select classid, objid from found except select classid, objid from ours
),
-- What the others need, step by step, as far as the copy's own.
needs (classid, objid, step_class, step_object) as (
    select classid, objid, classid, objid from others
    union
    select n.classid, n.objid, s.refclassid, s.refobjid
      from needs n
     cross join lateral (
        select d.refclassid, d.refobjid from pg_catalog.pg_depend d
         where d.classid = n.step_class and d.objid = n.step_object and d.deptype in ('n', 'a', 'i')
        union all
        select 'pg_catalog.pg_rewrite'::regclass, w.oid from pg_catalog.pg_rewrite w
         where n.step_class = 'pg_catalog.pg_class'::regclass and w.ev_class = n.step_object and w.rulename = '_RETURN'
     ) s
     where not exists (select from ours o where o.classid = n.step_class and o.objid = n.step_object)
)
select o.objid is not null,
       case i.type when 'statistics object' then 'statistics' when 'composite type' then 'type' else i.type end,
       i.identity, pg_catalog.pg_describe_object(f.classid, f.objid, 0),
       (select min(pg_catalog.pg_describe_object(n.step_class, n.step_object, 0))
          from needs n join ours m on m.classid = n.step_class and m.objid = n.step_object
         where n.classid = f.classid and n.objid = f.objid),
       false
  from found f
  left join ours o on o.classid = f.classid and o.objid = f.objid
 cross join lateral pg_catalog.pg_identify_object(f.classid, f.objid, 0) i
union all
select distinct false, '', '', pg_catalog.pg_describe_object(d.classid, d.objid, 0),
       pg_catalog.pg_describe_object(o.classid, o.objid, 0), true
  from ours o
  join pg_catalog.pg_depend d on d.refclassid = o.classid and d.refobjid = o.objid and d.deptype in ('n', 'a')
  left join pg_catalog.pg_constraint k on d.classid = 'pg_catalog.pg_constraint'::regclass and k.oid = d.objid
  left join pg_catalog.pg_policy p on d.classid = 'pg_catalog.pg_policy'::regclass and p.oid = d.objid
  left join pg_catalog.pg_trigger t on d.classid = 'pg_catalog.pg_trigger'::regclass and t.oid = d.objid
  left join pg_catalog.pg_attrdef a on d.classid = 'pg_catalog.pg_attrdef'::regclass and a.oid = d.objid
  join others x on x.classid = 'pg_catalog.pg_class'::regclass
   and x.objid = coalesce(k.conrelid, p.polrelid, t.tgrelid, a.adrelid)
