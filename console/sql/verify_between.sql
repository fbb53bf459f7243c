-- The events of a shard that lie between two windows: what the A of one sees, and the B before it did not.
-- Such are dead letters, for a window without another event is not written, or an operator chose a position behind them.
-- `behind` is the window that follows. No rows: there are none.
-- Index: primary key of batch, then event_tx_idx for each gap. Takes no locks beyond reading and no transaction id.
select null::bigint as seq, w.seq as behind, e.id, e.tx, e.event_id, e.aggregate_type, e.aggregate_id, e.type, e.topic
from outbox.batch as w
join outbox.batch as p on p.shard = w.shard and p.seq = w.seq - 1 and p.b::text <> w.a::text
cross join lateral (
  select id, tx, event_id, aggregate_type, aggregate_id, type, topic
  from outbox.event
  where tx >= pg_snapshot_xmax(p.b) and tx < pg_snapshot_xmax(w.a) and pg_visible_in_snapshot(tx, w.a)
  union all
  select found.*
  from pg_snapshot_xip(p.b) as old
  cross join lateral (
    select id, tx, event_id, aggregate_type, aggregate_id, type, topic from outbox.event where tx = old offset 0
  ) as found
  where pg_visible_in_snapshot(old, w.a)
) as e
where w.shard = %(shard)s and w.seq between %(first)s and %(last)s
  and (%(shards)s = 1 or outbox.shard_of(e.aggregate_type, e.aggregate_id, %(shards)s) = %(shard)s)
