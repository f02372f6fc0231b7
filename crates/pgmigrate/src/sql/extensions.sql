-- after app_objects.sql; $2, $3: catalogues and objects that stay behind. Every extension with what of the application
-- leans on it, by dependency or (function bodies kept as strings are no dependencies) by naming one of its functions.
, stays as (select * from unnest($2::oid[], $3::oid[]) as u (classid, objid)),
members as (
    select d.refobjid as extension, d.classid, d.objid from pg_catalog.pg_depend d
     where d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
)
select x.extname::text, x.extversion::text, n.nspname::text, x.extconfig is not null,
       coalesce((select array_agg(distinct pg_catalog.pg_describe_object(a.classid, a.objid, 0))
                   from members m
                   join pg_catalog.pg_depend d on d.refclassid = m.classid and d.refobjid = m.objid
                   join app a on a.classid = d.classid and a.objid = d.objid
                  where m.extension = x.oid and (a.classid, a.objid) not in (select classid, objid from stays)), '{}')
       || coalesce((select array_agg(distinct format('function %s', p.oid::regprocedure))
                      from members m
                      join pg_catalog.pg_proc f on m.classid = 'pg_catalog.pg_proc'::regclass and f.oid = m.objid
                      join pg_catalog.pg_proc p on p.prosrc ~ ('\m' || f.proname || '\s*\(')
                      join app a on a.classid = 'pg_catalog.pg_proc'::regclass and a.objid = p.oid
                      join pg_catalog.pg_language l on l.oid = p.prolang and l.lanname in ('sql', 'plpgsql')
                     where m.extension = x.oid and f.proname ~ '^\w+$'
                       and (a.classid, a.objid) not in (select classid, objid from stays)
                       and not exists (select from pg_catalog.pg_proc b where b.proname = f.proname
                                        and b.pronamespace = 'pg_catalog'::regnamespace)), '{}')
  from pg_catalog.pg_extension x join pg_catalog.pg_namespace n on n.oid = x.extnamespace
 order by x.oid
