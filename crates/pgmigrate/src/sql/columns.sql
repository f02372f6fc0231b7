-- $1: table oids; $2: extensions present in the same version at both ends.
-- A column is portable when its binary form means the same on another server: base, range and multirange types of
-- pg_catalog except those that are object ids in disguise (and xml, whose binary form names an encoding), arrays and
-- domains over them, enums (sent by label) but not arrays of them (which carry the element type's oid), and base types
-- of those extensions.
with recursive domains as (
    select t.oid, t.oid as base from pg_catalog.pg_type t where t.typtype <> 'd'
    union all
    select t.oid, d.base from pg_catalog.pg_type t join domains d on t.typtype = 'd' and t.typbasetype = d.oid
)
select a.attrelid, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
       a.attgenerated <> '' as generated,
       coalesce(
           b.typtype = 'e'
           or (coalesce(e.typtype, b.typtype) in ('b', 'r', 'm')
               and coalesce(e.typnamespace, b.typnamespace) = 'pg_catalog'::regnamespace
               and coalesce(e.typname, b.typname) not in
                   ('aclitem', 'xml', 'pg_node_tree', 'refcursor', 'pg_snapshot', 'txid_snapshot', 'cid', 'xid', 'xid8', 'tid')
               and coalesce(e.typname, b.typname) !~ '^reg'
               and coalesce(e.typsend, b.typsend) <> 0)
           or (b.typtype = 'b' and b.typsend <> 0 and exists (
                   select from pg_catalog.pg_depend d join pg_catalog.pg_extension x on x.oid = d.refobjid
                    where d.classid = 'pg_catalog.pg_type'::regclass and d.objid = b.oid and d.deptype = 'e'
                      and d.refclassid = 'pg_catalog.pg_extension'::regclass and x.extname = any ($2))),
           false) as portable,
       -- -1, not null: character and bit without a length would mean a length of one.
       pg_catalog.format_type(b.oid, -1) as base_name,
       case when b.typnamespace = 'pg_catalog'::regnamespace then b.typname::text else '' end as builtin,
       case when e.typnamespace = 'pg_catalog'::regnamespace then e.typname::text else '' end as element,
       case when b.typnamespace = 'pg_catalog'::regnamespace then ''
            else coalesce((select x.extname::text from pg_catalog.pg_depend d
                             join pg_catalog.pg_extension x on x.oid = d.refobjid
                            where d.classid = 'pg_catalog.pg_type'::regclass and d.objid = b.oid and d.deptype = 'e'
                              and d.refclassid = 'pg_catalog.pg_extension'::regclass), '') end as extension,
       case when b.typsend = 0 then '' else format('%I.%I', sn.nspname, sp.proname) end as send,
       -- From 18 on NOT NULL can be declared without having been checked.
       a.attnotnull and not exists (select from pg_catalog.pg_constraint k
                                     where k.conrelid = a.attrelid and k.contype = 'n' and not k.convalidated
                                       and a.attnum = any (k.conkey)) as not_null,
       a.attidentity = 'a' as always_identity,
       a.attstorage = 'x'
         and c.relam = (select oid from pg_catalog.pg_am where amname = 'heap') as compressible
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid
  join domains dm on dm.oid = a.atttypid
  join pg_catalog.pg_type b on b.oid = dm.base
  left join pg_catalog.pg_proc sp on sp.oid = b.typsend
  left join pg_catalog.pg_namespace sn on sn.oid = sp.pronamespace
  left join pg_catalog.pg_type e on e.oid = b.typelem and b.typlen = -1 and b.typcategory = 'A'
 where a.attrelid = any ($1) and a.attnum > 0 and not a.attisdropped
 order by a.attrelid, a.attnum
