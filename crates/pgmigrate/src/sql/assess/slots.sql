select format('replication slot %s', slot_name),
       format('%s, %s, WAL %s%s', slot_type, case when active then 'in use' else 'not in use' end, wal_status,
              ', ' || pg_size_pretty(safe_wal_size) || ' of WAL until it is lost')
  from pg_replication_slots
 where database is null or database = current_database()
 order by 1
