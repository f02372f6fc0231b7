-- Objects of a database that are in no schema, as (kind, name) that `drop` understands, in the order to drop them.
select kind, name from (
    select 1, 'extension', quote_ident(extname) from pg_catalog.pg_extension
    union all
    select 2, 'server', quote_ident(srvname) from pg_catalog.pg_foreign_server
    union all
    select 3, 'foreign data wrapper', quote_ident(fdwname) from pg_catalog.pg_foreign_data_wrapper w
     where not exists (select from pg_catalog.pg_depend d where d.objid = w.oid and d.deptype = 'e'
                        and d.classid = 'pg_catalog.pg_foreign_data_wrapper'::regclass)
    union all
    select 4, 'language', quote_ident(lanname) from pg_catalog.pg_language l
     where not exists (select from pg_catalog.pg_depend d where d.objid = l.oid and d.deptype = 'e'
                        and d.classid = 'pg_catalog.pg_language'::regclass)
    union all
    select 5, 'cast', format('(%s as %s)', castsource::regtype, casttarget::regtype) from pg_catalog.pg_cast c
     where c.oid >= 16384 and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e'
                        and d.classid = 'pg_catalog.pg_cast'::regclass)
) all_of_them (place, kind, name)
order by place, name
