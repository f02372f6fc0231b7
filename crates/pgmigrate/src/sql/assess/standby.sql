-- A standby shows the past, and may cancel whoever reads for long.
select 'standby',
       format('it is %s of WAL behind what it has received, and its last transaction is %s old; it cancels reads after %s%s',
              pg_size_pretty(coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0)),
              coalesce(justify_interval(date_trunc('second', clock_timestamp() - pg_last_xact_replay_timestamp()))::text, 'unknown how'),
              current_setting('max_standby_streaming_delay'),
              case when current_setting('hot_standby_feedback')::bool then '' else ' (hot_standby_feedback is off)' end)
 where pg_is_in_recovery()
