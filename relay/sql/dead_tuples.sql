-- Dead and live rows of outbox.event, as the statistics have them. No row: the statistics were reset.
-- Takes no locks.
select n_dead_tup as dead, n_live_tup as live from pg_stat_user_tables where schemaname = 'outbox' and relname = 'event'
