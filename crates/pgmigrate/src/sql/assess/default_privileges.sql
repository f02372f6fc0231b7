-- $1: schemas. What whatever our role makes in the database is granted to others, beyond what Postgres grants by itself:
-- (kinds and grantee, where).
select format('%s on %s to %s', string_agg(distinct lower(x.privilege_type), ', ' order by lower(x.privilege_type)),
              case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types'
                                   when 'n' then 'schemas' else 'large objects' end,
              case x.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end),
       coalesce(' in schema ' || quote_ident(n.nspname), '')
  from pg_default_acl d
 cross join lateral aclexplode(d.defaclacl) x
  left join pg_namespace n on n.oid = d.defaclnamespace
 where d.defaclrole = (select oid from pg_roles where rolname = current_user) and x.grantee <> d.defaclrole
   and not (d.defaclnamespace = 0 and x.grantee = 0 and d.defaclobjtype in ('f', 'T'))
   and (n.nspname is null or n.nspname = any ($1))
 group by d.oid, d.defaclobjtype, x.grantee, n.nspname
 order by 2, 1
