-- The events of some windows of a shard: what snapshot B sees and A did not. No rows: they are empty, or pruned.
-- Index: primary key of batch, then event_tx_idx for each window. Takes no locks beyond reading and no transaction id.
select w.seq, w.seq as behind, e.id, e.tx, e.event_id, e.aggregate_type, e.aggregate_id, e.type, e.topic
from outbox.batch as w
cross join lateral (
  select id, tx, event_id, aggregate_type, aggregate_id, type, topic
  from outbox.event
  where tx >= pg_snapshot_xmax(w.a) and tx < pg_snapshot_xmax(w.b) and pg_visible_in_snapshot(tx, w.b)
  union all
  select found.*
  from pg_snapshot_xip(w.a) as old
  cross join lateral (
    select id, tx, event_id, aggregate_type, aggregate_id, type, topic from outbox.event where tx = old offset 0
  ) as found
  where pg_visible_in_snapshot(old, w.b)
) as e
where w.shard = %(shard)s and w.seq between %(first)s and %(last)s
  and (%(shards)s = 1 or outbox.shard_of(e.aggregate_type, e.aggregate_id, %(shards)s) = %(shard)s)
