-- What the connected server is: version, standby or not, system identifier, cache of the sequence of outbox.event.id.
-- Always one row. Takes no locks and no transaction id.
select
  current_setting('server_version_num')::int as version,
  pg_is_in_recovery() as recovering,
  (select system_identifier from pg_control_system()) as sysid,
  (select oid::bigint from pg_database where datname = current_database()) as database,
  (
    select seqcache from pg_sequence
    where seqrelid = pg_get_serial_sequence('outbox.event', 'id')::regclass
  ) as cache,
  pg_backend_pid() as backend_pid,
  current_setting('plan_cache_mode') as plan_cache_mode
