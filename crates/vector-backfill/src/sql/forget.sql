drop table tierlift.backfill_kept, tierlift.backfill_dead, tierlift.backfill_chunk, tierlift.backfill;
drop sequence tierlift.backfill_worker;
do $$
begin
  if not exists (select from pg_catalog.pg_class where relnamespace = 'tierlift'::regnamespace)
     and not exists (select from pg_catalog.pg_proc where pronamespace = 'tierlift'::regnamespace) then
    drop schema tierlift;
  end if;
end
$$
