-- $1: table oids. A standby leaves running transactions out of its snapshots.
select case when not pg_is_in_recovery() then pg_current_snapshot()::text end,
       pg_snapshot_xmin(pg_current_snapshot())::text,
       -- The column, not pg_relation_filenode(), which tells of now whatever the snapshot sees.
       (select md5(coalesce(string_agg(format('%s %s', oid, relfilenode), ' ' order by oid), ''))
          from pg_class where oid = any ($1)),
       (select format('%s %s', b.stats_reset, d.stats_reset)
          from pg_stat_bgwriter b, pg_stat_database d where d.datname = current_database()),
       -- Three times this is the documented limit; the fourth is for slow clocks and machines.
       4 * (select setting::int8 from pg_settings where name = 'wal_writer_delay')
