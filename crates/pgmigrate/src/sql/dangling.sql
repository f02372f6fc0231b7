-- $1: tables. Each of their foreign keys that is held to be valid, with the query that finds a row it does not hold for.
select format('constraint %I on table %s', k.conname, k.conrelid::regclass),
       format('select from only %s as c left join %s%s as p on %s where (%s) and %s limit 1',
              k.conrelid::regclass, case f.relkind when 'p' then '' else 'only ' end, k.confrelid::regclass,
              cols.joined, case k.confmatchtype when 'f' then cols.any_given else cols.all_given end, cols.nobody)
  from pg_catalog.pg_constraint k
  join pg_catalog.pg_class f on f.oid = k.confrelid
 cross join lateral (
       select string_agg(format('p.%I operator(%I.%s) c.%I', fa.attname, n.nspname, o.oprname, a.attname), ' and '),
              string_agg(format('c.%I is not null', a.attname), ' and '),
              string_agg(format('c.%I is not null', a.attname), ' or '),
              min(format('p.%I is null', fa.attname))
         from unnest(k.conkey, k.confkey, k.conpfeqop) as u (here, there, equal)
         join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.here
         join pg_catalog.pg_attribute fa on fa.attrelid = k.confrelid and fa.attnum = u.there
         join pg_catalog.pg_operator o on o.oid = u.equal
         join pg_catalog.pg_namespace n on n.oid = o.oprnamespace) as cols (joined, all_given, any_given, nobody)
 where k.contype = 'f' and k.convalidated and k.conrelid = any ($1::text[]::regclass[])
 order by 1
