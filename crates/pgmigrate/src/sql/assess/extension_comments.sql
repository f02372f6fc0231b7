-- Extensions whose comment is no longer the one their control file gives.
select format('comment on extension %I', x.extname)
  from pg_extension x join pg_available_extensions a on a.name = x.extname
 where obj_description(x.oid, 'pg_extension') is distinct from a.comment
 order by 1
