-- Some events by their event_id, among a range of ids. No row for one: it is not in that range.
-- Index: event_pkey; there is none on event_id. Takes no locks beyond reading and no transaction id.
select null::bigint as seq, id, tx, event_id, aggregate_type, aggregate_id, type, topic,
  outbox.shard_of(aggregate_type, aggregate_id, %(shards)s) as shard
from outbox.event
where id between %(low)s and %(high)s and event_id = any(%(event_ids)s::uuid[])
