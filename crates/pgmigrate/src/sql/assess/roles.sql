-- $1: roles that the target lacks; $2: schemas. What a stub made from nothing but the name would lack, and whether the
-- role has default privileges in those schemas or everywhere.
select r.rolname::text,
       r.rolname = any ($1),
       array_remove(array[case when r.rolsuper then 'SUPERUSER' end, case when r.rolbypassrls then 'BYPASSRLS' end,
                          case when r.rolreplication then 'REPLICATION' end, case when r.rolcreaterole then 'CREATEROLE' end,
                          case when r.rolcreatedb then 'CREATEDB' end], null),
       coalesce((select array_agg(s order by s)
                   from pg_db_role_setting d, unnest(d.setconfig) s
                  where d.setrole = r.oid
                    and d.setdatabase in (0, (select oid from pg_database where datname = current_database()))), '{}'),
       coalesce((select array_agg(g.rolname::text order by g.rolname)
                   from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid), '{}'),
       r.rolcanlogin,
       exists (select from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace
                where d.defaclrole = r.oid and (d.defaclnamespace = 0 or n.nspname = any ($2)))
  from pg_roles r
 where r.rolname = any ($1)
    or exists (select from pg_default_acl d where d.defaclrole = r.oid)
 order by 1
