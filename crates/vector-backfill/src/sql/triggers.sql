-- The user's triggers on table $1 that an update of column $2 fires: in an ordinary session, and in one that applies
-- changes as a replica.
select tg.tgname::text, tg.tgenabled in ('O', 'A') as fires, tg.tgenabled in ('R', 'A') as fires_in_replica
  from pg_catalog.pg_trigger tg
 where tg.tgrelid = $1 and not tg.tgisinternal and tg.tgtype & 16 <> 0
   and (tg.tgattr = '' or exists (
         select from pg_catalog.pg_attribute a
          where a.attrelid = tg.tgrelid and a.attnum = any (tg.tgattr) and a.attname = $2))
 order by 1
