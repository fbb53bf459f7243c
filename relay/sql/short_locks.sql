-- Maintenance gives up after 100 ms instead of queueing before the hosts (rule 13). Always one row. Takes no locks.
select set_config('lock_timeout', '100ms', false)
