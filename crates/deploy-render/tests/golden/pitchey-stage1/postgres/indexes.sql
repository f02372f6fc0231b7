-- Indexes of Pitchey stage1, built while the tables are in use. CONCURRENTLY can't be in a transaction, so don't run
-- this with `psql -1`, nor through a pooler. As the tables' owner:
--
--   psql -v ON_ERROR_STOP=1 -f indexes.sql
--
-- Undone with indexes-undo.sql. Run again, it makes what is missing.
--
-- A build waits for transactions that began before it, and nobody waits for the build.
set lock_timeout = '1h';
set statement_timeout = '0';

create index concurrently if not exists "idx_pitches_user_id" on "pitches" ("user_id");
create index concurrently if not exists "idx_pitches_status" on "pitches" ("status");
create index concurrently if not exists "idx_pitches_created_at" on "pitches" ("created_at" desc);

-- A build that was cut short leaves an index that is kept up to date and never used.
do $$
declare
  broken text;
begin
  select string_agg(indexrelid::regclass::text, ', ') into broken
  from pg_catalog.pg_index
  where not indisvalid
    and indexrelid in (
      to_regclass('"idx_pitches_user_id"'),
      to_regclass('"idx_pitches_status"'),
      to_regclass('"idx_pitches_created_at"')
    );
  if broken is not null then
    raise exception 'built in part: %', broken
      using hint = 'drop them with indexes-undo.sql, then run this again';
  end if;
end
$$;

-- As they are now: one that was there before us is left as it was.
select pg_get_indexdef(indexrelid) as index
from pg_catalog.pg_index
where indexrelid in (
  to_regclass('"idx_pitches_user_id"'),
  to_regclass('"idx_pitches_status"'),
  to_regclass('"idx_pitches_created_at"')
);
