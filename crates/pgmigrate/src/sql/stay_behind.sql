-- $1: whether the target's role is a superuser; $2: a pattern of publications that are the provider's own; $3: whether
-- only some schemas or tables come.
-- What stays behind of the objects in no schema: (catalogue, oid) of its entries in a dump, its name, and why. The
-- members of a publication are entries of their own, without a name here.
with triggers as (
    select e.oid, e.evtname, case when $3 then 'with --include or --exclude nothing comes that is in no schema'
                                  else 'event triggers need a superuser' end as reason
      from pg_catalog.pg_event_trigger e
     where ($3 or not $1) and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_event_trigger'::regclass
                                    and d.objid = e.oid and d.deptype = 'e')
),
all_publications as (
    select p.oid, p.pubname,
           case when p.pubname ~ $2 then 'it is the provider''s own'
                when $3 then 'with --include or --exclude nothing comes that is in no schema'
                when not $1 and p.puballtables then 'a publication of all tables needs a superuser'
                when not $1 and exists (select from pg_catalog.pg_publication_namespace n where n.pnpubid = p.oid)
                then 'a publication of whole schemas needs a superuser' end as reason
      from pg_catalog.pg_publication p
),
publications as (select * from all_publications where reason is not null)
select 'pg_catalog.pg_event_trigger'::regclass::oid, oid, format('event trigger %I', evtname), reason
  from triggers
union all
select 'pg_catalog.pg_publication'::regclass, oid, format('publication %I', pubname), reason
  from publications
union all
select 'pg_catalog.pg_publication_rel'::regclass, r.oid, null, null
  from pg_catalog.pg_publication_rel r join publications p on p.oid = r.prpubid
union all
select coalesce(to_regclass('pg_publication_namespace'), 0), n.oid, null, null
  from pg_catalog.pg_publication_namespace n join publications p on p.oid = n.pnpubid
