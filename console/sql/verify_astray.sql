-- The rows of a shard whose transaction had ended before snapshot A, and whose id was given out after it: their tx is
-- not the one that inserted them, and no window holds them. No rows, unless somebody wrote tx or id.
-- Index: event_pkey. Takes no locks beyond reading and no transaction id.
select null::bigint as seq, id, tx, event_id, aggregate_type, aggregate_id, type, topic
from outbox.event
where id between %(low)s and %(high)s
  and tx < pg_snapshot_xmax(%(a)s::pg_snapshot) and pg_visible_in_snapshot(tx, %(a)s::pg_snapshot)
  and (%(shards)s = 1 or outbox.shard_of(aggregate_type, aggregate_id, %(shards)s) = %(shard)s)
