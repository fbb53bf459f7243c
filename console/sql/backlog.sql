-- Committed events that are not published yet, a shard: how many, and since when the oldest waits. A row a shard.
-- Index: event_tx_idx, inside outbox.backlog().
select shard, backlog, oldest_at, extract(epoch from now() - oldest_at)::float8 as oldest_seconds
from outbox.backlog()
order by shard
