-- Ways to other servers, and wrappers that no extension brought.
select format('server %I', s.srvname), format('foreign data wrapper %s', w.fdwname)
  from pg_foreign_server s join pg_foreign_data_wrapper w on w.oid = s.srvfdw
union all
select format('foreign data wrapper %I', fdwname), format('made by role %s', pg_get_userbyid(fdwowner))
  from pg_foreign_data_wrapper w
 where not exists (select from pg_depend d where d.classid = 'pg_foreign_data_wrapper'::regclass and d.objid = w.oid
                      and d.deptype = 'e')
 order by 1
