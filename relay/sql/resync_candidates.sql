-- Events that two positions do not both count as published: what going on from the first would publish or leave out. Those
-- with a dead letter of this shard are accounted for. No rows: the choice changes nothing for any event.
-- Index: event_tx_idx, from `floor`, the oldest transaction that one of them saw in progress. Takes no locks beyond reading.
select id, event_id, aggregate_type, type, topic, created_at, covered
from (
  select
    e.id, e.event_id::text, e.aggregate_type, e.type, e.topic, e.created_at::text,
    pg_visible_in_snapshot(e.tx, %(b)s::pg_snapshot) and (
      %(last)s::bigint is null or e.id <= %(last)s::bigint or pg_visible_in_snapshot(e.tx, %(a)s::pg_snapshot)
    ) as covered,
    pg_visible_in_snapshot(e.tx, %(base_b)s::pg_snapshot) and (
      %(base_last)s::bigint is null or e.id <= %(base_last)s::bigint or pg_visible_in_snapshot(e.tx, %(base_a)s::pg_snapshot)
    ) as proven
  from outbox.event as e
  where e.tx >= %(floor)s::xid8
    and (%(shards)s = 1 or outbox.shard_of(e.aggregate_type, e.aggregate_id, %(shards)s) = %(shard)s)
    and not exists (
      select from outbox.dead_letter as d where d.stage = 'publish' and d.shard = %(shard)s and d.event_row_id = e.id
    )
) as judged
where not (covered and proven)
