-- Committed events that are in no topic yet, of all shards. Always one row.
-- Index: event_tx_idx, inside outbox.backlog().
select coalesce(sum(backlog), 0)::bigint as events from outbox.backlog()
