-- Objects of a database that are in no schema, as (kind, name) that `drop` understands and as a copy records one that it
-- made (quotes aside), in the order to drop them.
select kind, name, record from (
    select 0, 'event trigger', quote_ident(evtname), 'EVENT TRIGGER -.' || evtname from pg_catalog.pg_event_trigger t
     where not exists (select from pg_catalog.pg_depend d where d.objid = t.oid and d.deptype = 'e'
                        and d.classid = 'pg_catalog.pg_event_trigger'::regclass)
    union all
    select 0, 'publication', quote_ident(pubname), 'PUBLICATION -.' || pubname from pg_catalog.pg_publication
    union all
    select 1, 'extension', quote_ident(extname), 'EXTENSION ' || extname from pg_catalog.pg_extension
    union all
    select 2, 'server', quote_ident(srvname), 'SERVER -.' || srvname from pg_catalog.pg_foreign_server
    union all
    select 3, 'foreign data wrapper', quote_ident(fdwname), 'FOREIGN DATA WRAPPER -.' || fdwname
      from pg_catalog.pg_foreign_data_wrapper w
     where not exists (select from pg_catalog.pg_depend d where d.objid = w.oid and d.deptype = 'e'
                        and d.classid = 'pg_catalog.pg_foreign_data_wrapper'::regclass)
    union all
    select 4, 'language', quote_ident(lanname), 'PROCEDURAL LANGUAGE -.' || lanname from pg_catalog.pg_language l
     where not exists (select from pg_catalog.pg_depend d where d.objid = l.oid and d.deptype = 'e'
                        and d.classid = 'pg_catalog.pg_language'::regclass)
    union all
    select 5, 'cast', format('(%s as %s)', castsource::regtype, casttarget::regtype),
           format('CAST -.CAST (%s AS %s)', castsource::regtype, casttarget::regtype)
      from pg_catalog.pg_cast c
     where c.oid >= 16384 and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e'
                        and d.classid = 'pg_catalog.pg_cast'::regclass)
    union all
    select 6, 'access method', quote_ident(amname), 'ACCESS METHOD -.' || amname from pg_catalog.pg_am a
     where a.oid >= 16384 and not exists (select from pg_catalog.pg_depend d where d.objid = a.oid and d.deptype = 'e'
                        and d.classid = 'pg_catalog.pg_am'::regclass)
    union all
    select 7, 'transform', format('for %s language %I', t.trftype::regtype, l.lanname),
           format('TRANSFORM -.TRANSFORM FOR %s LANGUAGE %s', t.trftype::regtype, l.lanname)
      from pg_catalog.pg_transform t
      join pg_catalog.pg_language l on l.oid = t.trflang
     where not exists (select from pg_catalog.pg_depend d where d.objid = t.oid and d.deptype = 'e'
                        and d.classid = 'pg_catalog.pg_transform'::regclass)
) all_of_them (place, kind, name, record)
order by place, name
