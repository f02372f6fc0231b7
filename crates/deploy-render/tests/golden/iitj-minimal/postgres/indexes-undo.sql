-- Takes back indexes.sql, while the tables are in use.
--
--   psql -v ON_ERROR_STOP=1 -f indexes-undo.sql
set lock_timeout = '1h';
set statement_timeout = '0';

drop index concurrently if exists "ix_schedules_name";
drop index concurrently if exists "ix_schedules_category";
