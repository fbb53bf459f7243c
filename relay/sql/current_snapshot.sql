-- Which transactions have finished? The B of the next window (W1). Always one row.
-- Takes no locks and no transaction id.
select pg_current_snapshot()::text as b
