-- One event as the host inserted it, without its payload, with where its shard stands. No row: it is not there (any more).
-- Reads the table: event_id has no index, for that would cost hosts a third of their rate. The row's dead letter, if it has
-- one, gives the id instead: then by primary key.
select e.id as row_id, e.event_id, e.tx::text as tx, e.type, e.aggregate_type, e.aggregate_id, e.topic, e.headers ->> 'traceparent' as traceparent,
  e.headers ->> 'redriven-from' as redriven_from,
  e.created_at, outbox.shard_of(e.aggregate_type, e.aggregate_id, m.shards) as shard, s.pruned_seq, s.confirmed_seq, s.confirmed_last,
  s.confirmed_snap is not null and pg_visible_in_snapshot(e.tx, s.confirmed_snap) as in_confirmed_snapshot
from outbox.event as e
cross join outbox.meta as m
left join outbox.shard as s on s.shard = outbox.shard_of(e.aggregate_type, e.aggregate_id, m.shards)
where e.event_id = %(event_id)s and (%(row_id)s::bigint is null or e.id = %(row_id)s)
