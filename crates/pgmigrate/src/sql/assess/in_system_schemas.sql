-- What somebody made in pg_catalog or information_schema: oids below 16384 are initdb's.
select pg_describe_object(o.classid, o.oid, 0)
  from (select 'pg_class'::regclass::oid as classid, oid, relnamespace as space from pg_class
         where relkind in ('r', 'p', 'v', 'm', 'S', 'f')
        union all select 'pg_proc'::regclass, oid, pronamespace from pg_proc
        union all select 'pg_operator'::regclass, oid, oprnamespace from pg_operator
        union all select 'pg_type'::regclass, oid, typnamespace from pg_type where typtype in ('d', 'e', 'r')) o
 where o.oid >= 16384 and o.space in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
   and not exists (select from pg_depend d where d.classid = o.classid and d.objid = o.oid and d.deptype = 'e')
 order by 1
