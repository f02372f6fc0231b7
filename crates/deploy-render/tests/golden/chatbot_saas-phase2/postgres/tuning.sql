-- Parameters of ChatBot SaaS phase2's PostgreSQL, from its 2560Mi of memory. One statement each: ALTER SYSTEM can't be
-- in a transaction, so don't run this with `psql -1`. As a superuser:
--
--   psql -v ON_ERROR_STOP=1 -f tuning.sql
--
-- Undone with tuning-undo.sql. They are kept in postgresql.auto.conf, which a dump does not hold.
set lock_timeout = '5s';
set statement_timeout = '60s';

-- three quarters: its own buffers and the system's file cache
alter system set effective_cache_size = '1920MB';
-- a sixteenth; vacuum and index builds run a few at a time
alter system set maintenance_work_mem = '160MB';
-- what is left, for every connection's sorts, three times over
alter system set work_mem = '6MB';
-- fewer checkpoints under load
alter system set max_wal_size = '4GB';
-- less to write for a little processor time
alter system set wal_compression = 'on';
-- a solid-state disk reads anywhere as fast
alter system set random_page_cost = '1.1';
-- a solid-state disk answers many reads at a time
alter system set effective_io_concurrency = '200';
-- large tables are vacuumed before a fifth of them is dead
alter system set autovacuum_vacuum_scale_factor = '0.05';
-- and their statistics stay fresh
alter system set autovacuum_analyze_scale_factor = '0.02';
-- a forgotten transaction stops vacuum
alter system set idle_in_transaction_session_timeout = '10min';
-- slow statements are in the log
alter system set log_min_duration_statement = '500ms';
-- and so is who waits for a lock
alter system set log_lock_waits = 'on';
-- and sorts that did not fit work_mem
alter system set log_temp_files = '10MB';
-- a quarter of the memory; takes effect at the next restart, which is a downtime
alter system set shared_buffers = '640MB';
-- the pools of all programs and 20 for people fit; takes effect at the next restart, which is a downtime
alter system set max_connections = '100';
-- which statements take the time; takes effect at the next restart, which is a downtime
alter system set shared_preload_libraries = 'pg_stat_statements';

-- All but those that need a restart are in force from here on.
select pg_reload_conf();

-- What still waits for a restart.
select name, setting, unit
from pg_settings
where pending_restart
order by name;

-- After that restart, once, in the database itself, for pg_stat_statements to count there:
--
--   create extension if not exists pg_stat_statements;
