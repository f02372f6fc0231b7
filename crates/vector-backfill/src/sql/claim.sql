-- Claims the first chunk nobody works on. $1 job, $2 worker, $3 lease in seconds, $4 class of the workers' locks.
-- A lease ends with its time, or with the session of its worker: that holds an advisory lock as long as it lives, and
-- pg_locks shows everybody's to everybody.
update tierlift.backfill_chunk c
   set worker = $2, token = c.token + 1, lease_until = clock_timestamp() + pg_catalog.make_interval(secs => $3)
 where c.job = $1 and c.chunk = (
         select free.chunk
           from tierlift.backfill_chunk free
          where free.job = $1 and free.done_at is null
            and (free.worker is null or free.lease_until < clock_timestamp() or not exists (
                  select from pg_catalog.pg_locks l
                   where l.locktype = 'advisory' and l.granted and l.objsubid = 2
                     and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
                     and l.classid = $4::int4::oid and l.objid = free.worker::oid))
          order by free.chunk
          limit 1
            for update skip locked)
returning c.chunk, c.token, c.low, c.high
