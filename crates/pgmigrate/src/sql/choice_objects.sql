-- $1: schemas. Everything that can be chosen or left out, members of extensions aside, as
-- (catalogue, object, schema or null, name, kind, relation it is a part of or 0, parent partitioned table or 0, lockable).
-- Kinds: relkind for relations, else a word; a part of a relation shares its fate.
with spaces as (select oid, nspname::text as name from pg_catalog.pg_namespace where nspname = any ($1)),
things (classid, objid, schema, name, kind, relation, parent, lockable) as (
    select 'pg_catalog.pg_class'::regclass::oid, c.oid, s.name, c.relname::text, c.relkind::text,
           coalesce(case when c.relkind in ('i', 'I') then (select i.indrelid from pg_catalog.pg_index i where i.indexrelid = c.oid)
                         when c.relkind = 'S' then (select d.refobjid from pg_catalog.pg_depend d
                                                     where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid
                                                       and d.refclassid = 'pg_catalog.pg_class'::regclass
                                                       and d.refobjsubid > 0 and d.deptype in ('a', 'i')) end, 0),
           coalesce(case when c.relispartition and c.relkind in ('r', 'p', 'f') then
                         (select h.inhparent from pg_catalog.pg_inherits h where h.inhrelid = c.oid) end, 0),
           c.relkind not in ('r', 'p') or pg_catalog.has_table_privilege(c.oid, 'select')
      from pg_catalog.pg_class c join spaces s on s.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I') and c.relpersistence <> 't'
    union all
    select 'pg_catalog.pg_constraint'::regclass, k.oid, s.name, k.conname::text, 'constraint', k.conrelid, 0, true
      from pg_catalog.pg_constraint k join spaces s on s.oid = k.connamespace where k.conrelid <> 0 and k.conparentid = 0
    union all
    select 'pg_catalog.pg_attrdef'::regclass, d.oid, s.name, '', 'default', c.oid, 0, true
      from pg_catalog.pg_attrdef d join pg_catalog.pg_class c on c.oid = d.adrelid join spaces s on s.oid = c.relnamespace
    union all
    select 'pg_catalog.pg_trigger'::regclass, t.oid, s.name, t.tgname::text, 'trigger', c.oid, 0, true
      from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid join spaces s on s.oid = c.relnamespace
     where not t.tgisinternal and t.tgparentid = 0
    union all
    select 'pg_catalog.pg_policy'::regclass, p.oid, s.name, p.polname::text, 'policy', c.oid, 0, true
      from pg_catalog.pg_policy p join pg_catalog.pg_class c on c.oid = p.polrelid join spaces s on s.oid = c.relnamespace
    union all
    select 'pg_catalog.pg_rewrite'::regclass, w.oid, s.name, w.rulename::text, 'rule', c.oid, 0, true
      from pg_catalog.pg_rewrite w join pg_catalog.pg_class c on c.oid = w.ev_class join spaces s on s.oid = c.relnamespace
    union all
    select 'pg_catalog.pg_statistic_ext'::regclass, x.oid, s.name, x.stxname::text, 'statistics', x.stxrelid, 0, true
      from pg_catalog.pg_statistic_ext x
      join pg_catalog.pg_class c on c.oid = x.stxrelid join spaces s on s.oid = c.relnamespace
    union all
    select 'pg_catalog.pg_proc'::regclass, p.oid, s.name, p.proname::text, 'function', 0, 0, true
      from pg_catalog.pg_proc p join spaces s on s.oid = p.pronamespace
    union all
    select 'pg_catalog.pg_type'::regclass, t.oid, s.name, t.typname::text, 'type', 0, 0, true
      from pg_catalog.pg_type t join spaces s on s.oid = t.typnamespace
      left join pg_catalog.pg_class c on c.oid = t.typrelid
     where (c.oid is null or c.relkind = 'c')
       and not exists (select from pg_catalog.pg_type e where e.typarray = t.oid)
    union all
    select 'pg_catalog.pg_operator'::regclass, o.oid, s.name, o.oprname::text, 'operator', 0, 0, true
      from pg_catalog.pg_operator o join spaces s on s.oid = o.oprnamespace
    union all
    select 'pg_catalog.pg_opclass'::regclass, o.oid, s.name, o.opcname::text, 'operator class', 0, 0, true
      from pg_catalog.pg_opclass o join spaces s on s.oid = o.opcnamespace
    union all
    select 'pg_catalog.pg_opfamily'::regclass, o.oid, s.name, o.opfname::text, 'operator family', 0, 0, true
      from pg_catalog.pg_opfamily o join spaces s on s.oid = o.opfnamespace
    union all
    select 'pg_catalog.pg_collation'::regclass, o.oid, s.name, o.collname::text, 'collation', 0, 0, true
      from pg_catalog.pg_collation o join spaces s on s.oid = o.collnamespace
    union all
    select 'pg_catalog.pg_conversion'::regclass, o.oid, s.name, o.conname::text, 'conversion', 0, 0, true
      from pg_catalog.pg_conversion o join spaces s on s.oid = o.connamespace
    union all
    select 'pg_catalog.pg_ts_config'::regclass, o.oid, s.name, o.cfgname::text, 'text search', 0, 0, true
      from pg_catalog.pg_ts_config o join spaces s on s.oid = o.cfgnamespace
    union all
    select 'pg_catalog.pg_ts_dict'::regclass, o.oid, s.name, o.dictname::text, 'text search', 0, 0, true
      from pg_catalog.pg_ts_dict o join spaces s on s.oid = o.dictnamespace
    union all
    select 'pg_catalog.pg_ts_parser'::regclass, o.oid, s.name, o.prsname::text, 'text search', 0, 0, true
      from pg_catalog.pg_ts_parser o join spaces s on s.oid = o.prsnamespace
    union all
    select 'pg_catalog.pg_ts_template'::regclass, o.oid, s.name, o.tmplname::text, 'text search', 0, 0, true
      from pg_catalog.pg_ts_template o join spaces s on s.oid = o.tmplnamespace
    union all
    select 'pg_catalog.pg_foreign_server'::regclass, oid, null, srvname::text, 'server', 0, 0, true
      from pg_catalog.pg_foreign_server
    union all
    select 'pg_catalog.pg_foreign_data_wrapper'::regclass, oid, null, fdwname::text, 'wrapper', 0, 0, true
      from pg_catalog.pg_foreign_data_wrapper
    union all
    select 'pg_catalog.pg_user_mapping'::regclass, umid, null, usename::text, 'user mapping', 0, 0, true
      from pg_catalog.pg_user_mappings
    union all
    select 'pg_catalog.pg_language'::regclass, oid, null, lanname::text, 'language', 0, 0, true from pg_catalog.pg_language
    union all
    select 'pg_catalog.pg_am'::regclass, oid, null, amname::text, 'access method', 0, 0, true from pg_catalog.pg_am
    union all
    select 'pg_catalog.pg_cast'::regclass, oid, null, '', 'cast', 0, 0, true from pg_catalog.pg_cast
    union all
    select 'pg_catalog.pg_transform'::regclass, oid, null, '', 'transform', 0, 0, true from pg_catalog.pg_transform
)
select classid, objid, schema, name, kind, relation, parent, lockable
  from things t
 where (schema is not null or objid >= 16384)
   and not exists (select from pg_catalog.pg_depend d
                    where d.classid = t.classid and d.objid = t.objid and d.deptype = 'e')
