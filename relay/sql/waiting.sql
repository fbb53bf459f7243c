-- How much each shard has not published yet, and the age of the oldest. A row a shard. Index: event_tx_idx.
-- Takes no locks beyond reading.
select shard, backlog, coalesce(extract(epoch from now() - oldest_at), 0)::float8 as oldest_seconds from outbox.backlog()
