-- $1: after this oid; $2: how many. Large objects in order of their oid, with what else there is to know of them.
with page as (
    select oid, lomowner, lomacl from pg_catalog.pg_largeobject_metadata where oid > $1 order by oid limit $2
)
select p.oid, s.bytes, d.description, pg_catalog.pg_get_userbyid(p.lomowner)::text, a.privileges, pg_catalog.lo_close(f.fd)
  from page p
 cross join lateral (select pg_catalog.lo_open(p.oid, 262144) as fd offset 0) f -- 262144: to read
 cross join lateral (select pg_catalog.lo_lseek64(f.fd, 0, 2) as bytes offset 0) s -- 2: the end
  left join pg_catalog.pg_description d
    on d.classoid = 'pg_catalog.pg_largeobject'::regclass and d.objoid = p.oid and d.objsubid = 0
  left join lateral (
    select jsonb_agg(jsonb_build_object('privilege', x.privilege_type, 'grantable', x.is_grantable,
             'grantee', case when x.grantee <> 0 then pg_catalog.pg_get_userbyid(x.grantee)::text end)) as privileges
      from pg_catalog.aclexplode(p.lomacl) x) a on p.lomacl is not null
 order by p.oid
