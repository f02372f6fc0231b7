-- Takes back indexes.sql, while the tables are in use.
--
--   psql -v ON_ERROR_STOP=1 -f indexes-undo.sql
set lock_timeout = '1h';
set statement_timeout = '0';

drop index concurrently if exists "idx_pitches_user_id";
drop index concurrently if exists "idx_pitches_status";
drop index concurrently if exists "idx_pitches_created_at";
