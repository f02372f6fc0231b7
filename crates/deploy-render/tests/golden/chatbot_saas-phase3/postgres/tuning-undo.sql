-- Takes back tuning.sql: each parameter is again what postgresql.conf or the image says.
--
--   psql -v ON_ERROR_STOP=1 -f tuning-undo.sql
set lock_timeout = '5s';
set statement_timeout = '60s';

alter system reset maintenance_work_mem;
alter system reset work_mem;
alter system reset max_wal_size;
alter system reset wal_compression;
alter system reset random_page_cost;
alter system reset effective_io_concurrency;
alter system reset autovacuum_vacuum_scale_factor;
alter system reset autovacuum_analyze_scale_factor;
alter system reset idle_in_transaction_session_timeout;
alter system reset log_min_duration_statement;
alter system reset log_lock_waits;
alter system reset log_temp_files;
alter system reset effective_cache_size;
-- takes effect at the next restart
alter system reset max_connections;
-- takes effect at the next restart
alter system reset shared_preload_libraries;
-- takes effect at the next restart
alter system reset shared_buffers;

select pg_reload_conf();

-- What still waits for a restart.
select name, setting, unit
from pg_settings
where pending_restart
order by name;
