-- Schemas outside the system's and tierlift's, with comment, privileges and owner.
select n.nspname::text, obj_description(n.oid, 'pg_namespace'),
      coalesce((select jsonb_agg(jsonb_build_object('privilege', x.privilege_type, 'grantable', x.is_grantable,
                  'grantee', case x.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end))
                  from aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) x), '[]'),
      pg_get_userbyid(n.nspowner)::text
 from pg_namespace n
 where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'tierlift')
  and not exists (select from pg_depend d
                   where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e')
 order by n.nspname
