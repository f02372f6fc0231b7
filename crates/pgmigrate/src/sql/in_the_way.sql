-- $1: tables; $2: whether session_replication_role = replica can be set. What would act on rows that go in, and how.
select format('trigger %I on table %s', t.tgname, t.tgrelid::regclass), 'it would fire for every row that is copied'
  from pg_catalog.pg_trigger t
 where t.tgrelid = any ($1::text[]::regclass[]) and not t.tgisinternal
   and t.tgenabled in ('A', case when $2 then 'R' else 'O' end) and (t.tgtype & 4) <> 0
union all
select format('constraint %I on table %s', k.conname, k.conrelid::regclass),
       'it would be checked row by row, before the rows that it points at have arrived'
  from pg_catalog.pg_constraint k
 where not $2 and k.contype = 'f' and k.conrelid = any ($1::text[]::regclass[])
 order by 1
