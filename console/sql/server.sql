-- What the server is and how it keeps what it acknowledged. Always one row. Takes no locks and no transaction id.
select current_setting('server_version') as version, current_setting('server_version_num')::int as version_number,
  pg_is_in_recovery() as recovering, pg_backend_pid() as backend_pid,
  current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,
  current_setting('synchronous_commit') as synchronous_commit, current_setting('synchronous_standby_names') as standbys,
  extract(epoch from clock_timestamp())::float8 as clock
