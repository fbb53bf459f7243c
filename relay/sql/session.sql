-- Settings of the session that holds a lease. Always one row. Takes no locks.
-- The barrier waits until it is durable; plans are made for the snapshots at hand (rule 10); the server notices a client
-- that has gone, and ends a session that is silent for `silence`: a relay that is paused loses its lease to another.
-- Warnings are sent whatever the role's default is: a wait for a standby that was cancelled shows in nothing else (rule 2).
select
  set_config('synchronous_commit', case when current_setting('synchronous_commit') = 'remote_apply' then 'remote_apply' else 'on' end, false),
  set_config('client_min_messages', 'warning', false),
  set_config('plan_cache_mode', 'force_custom_plan', false),
  set_config('timezone', 'UTC', false),
  set_config('lock_timeout', '5s', false),
  set_config('idle_session_timeout', %(silence)s, false),
  set_config('idle_in_transaction_session_timeout', %(silence)s, false),
  set_config('tcp_keepalives_idle', '5', false),
  set_config('tcp_keepalives_interval', '2', false),
  set_config('tcp_keepalives_count', '3', false),
  set_config('tcp_user_timeout', '10000', false)
