-- $1: schemas; $2: roles of the provider's; $3: relations that stay behind. Roles named by privileges and policies there
-- and in no schema, owners' own grants aside; in the order they were made, which is the order in which servers list a policy's roles.
select r.rolname::text
  from (
    select x.grantee, c.relowner from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     cross join lateral aclexplode(c.relacl) x where n.nspname = any ($1) and c.oid <> all ($3)
    union
    select x.grantee, c.relowner from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     cross join lateral aclexplode(a.attacl) x where n.nspname = any ($1) and c.oid <> all ($3)
    union
    select x.grantee, p.proowner from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     cross join lateral aclexplode(p.proacl) x where n.nspname = any ($1)
    union
    select x.grantee, t.typowner from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
     cross join lateral aclexplode(t.typacl) x where n.nspname = any ($1)
    union
    select x.grantee, n.nspowner from pg_catalog.pg_namespace n
     cross join lateral aclexplode(n.nspacl) x where n.nspname = any ($1)
    union
    select x.grantee, l.lomowner from pg_catalog.pg_largeobject_metadata l cross join lateral aclexplode(l.lomacl) x
    union
    select x.grantee, s.srvowner from pg_catalog.pg_foreign_server s cross join lateral aclexplode(s.srvacl) x
    union
    select x.grantee, w.fdwowner from pg_catalog.pg_foreign_data_wrapper w cross join lateral aclexplode(w.fdwacl) x
    union
    select x.grantee, d.defaclrole from pg_catalog.pg_default_acl d
      left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace
      join pg_catalog.pg_roles o on o.oid = d.defaclrole
     cross join lateral aclexplode(d.defaclacl) x
     where (d.defaclnamespace = 0 or n.nspname = any ($1)) and o.rolname <> all ($2)
    union
    select unnest(p.polroles), 0 from pg_catalog.pg_policy p join pg_catalog.pg_class c on c.oid = p.polrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = any ($1) and c.oid <> all ($3)
  ) named (role, owner)
  join pg_catalog.pg_roles r on r.oid = named.role
 where named.role <> named.owner and r.rolname !~ '^pg_'
 group by r.rolname, r.oid
 order by r.oid
