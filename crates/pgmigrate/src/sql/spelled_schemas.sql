-- $1: schemas; $2: names of schemas; $3: functions that stay behind. Functions whose body is kept as text and spells one
-- of those names, or whose settings do; with the name.
select pg_catalog.pg_describe_object('pg_catalog.pg_proc'::regclass, p.oid, 0), spelled.name
  from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  join pg_catalog.pg_language l on l.oid = p.prolang
 cross join lateral (select name, regexp_replace(name, '(\W)', '\\\1', 'g') as pattern from unnest($2::text[]) as u (name)) spelled
 where n.nspname = any ($1) and p.oid <> all ($3) and l.lanname not in ('c', 'internal')
   and ((to_jsonb(p) ->> 'prosqlbody' is null and p.prosrc ~ ('(^|\W)"?' || spelled.pattern || '"?\s*\.'))
        or exists (select from unnest(p.proconfig) as c (setting)
                    where c.setting ~ ('^search_path=(.*\W)?' || spelled.pattern || '(\W|$)')))
 order by 1, 2
