-- One statement for each way in which the current role's default privileges depart from the built-in ones; together
-- they would make them those again.
select format('alter default privileges%s %s %s on %s %s %s;',
             case when d.defaclnamespace <> 0 then ' in schema ' || d.defaclnamespace::regnamespace::text else '' end,
             case when x.is_default then 'grant' else 'revoke' end, x.privilege_type,
             case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
                                  when 'T' then 'types' when 'n' then 'schemas' when 'L' then 'large objects' end,
             case when x.is_default then 'to' else 'from' end,
             case x.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end)
 from pg_default_acl d
 cross join lateral (
    (select grantee, privilege_type, false from aclexplode(d.defaclacl)
     except
     select grantee, privilege_type, false from aclexplode(
         case when d.defaclnamespace = 0 then acldefault(d.defaclobjtype, d.defaclrole) else null end))
    union all
    (select grantee, privilege_type, true from aclexplode(
         case when d.defaclnamespace = 0 then acldefault(d.defaclobjtype, d.defaclrole) else null end)
     except
     select grantee, privilege_type, true from aclexplode(d.defaclacl))) x (grantee, privilege_type, is_default)
 where d.defaclrole = (select oid from pg_roles where rolname = current_user)
