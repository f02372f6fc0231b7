-- after app_objects.sql: every object by the name people know it by. Tables are compared with their rows; not-null
-- constraints became objects only in PostgreSQL 18; clones of a parent's constraint have names of their own.
select a.classid, a.objid, pg_catalog.pg_describe_object(a.classid, a.objid, 0)
  from app a
  left join pg_catalog.pg_class c on a.classid = 'pg_catalog.pg_class'::regclass and c.oid = a.objid
  left join pg_catalog.pg_constraint k on a.classid = 'pg_catalog.pg_constraint'::regclass and k.oid = a.objid
  left join pg_catalog.pg_trigger t on a.classid = 'pg_catalog.pg_trigger'::regclass and t.oid = a.objid
 where a.classid <> 'pg_catalog.pg_type'::regclass
   and (c.oid is null or (c.relkind <> 'r' and c.relkind <> 'S'))
   and (k.oid is null or (k.contype not in ('n', 't') and k.conparentid = 0))
   and (t.oid is null or t.tgparentid = 0)
 order by 3
