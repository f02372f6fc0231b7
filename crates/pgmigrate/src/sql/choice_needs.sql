-- What needs what, as (catalogue, object, catalogue, object, both ways). Internal parts and their wholes need each other,
-- and so do a table and what pg_dump writes into its very definition: defaults and checks. Sequences do without the
-- table that owns them, and a partition can stand alone.
select d.classid, d.objid, d.refclassid, d.refobjid,
       d.deptype = 'i' or f.oid is not null or coalesce(k.contype = 'c', false)
  from pg_catalog.pg_depend d
  left join pg_catalog.pg_attrdef f on d.classid = 'pg_catalog.pg_attrdef'::regclass and f.oid = d.objid
   and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = f.adrelid
  left join pg_catalog.pg_constraint k on d.classid = 'pg_catalog.pg_constraint'::regclass and k.oid = d.objid
   and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = k.conrelid
 where d.objid >= 16384 and d.refobjid >= 16384 and d.deptype in ('n', 'a', 'i')
   and (d.classid, d.objid) <> (d.refclassid, d.refobjid)
   and not (d.deptype = 'a' and d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = d.classid
            and exists (select from pg_catalog.pg_class c where c.oid = d.objid
                           and (c.relkind = 'S' or (c.relispartition and c.relkind in ('r', 'p', 'f')))))
