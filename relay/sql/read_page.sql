-- The next rows of a window in the order of their ids (W3, rule 7): at most `rows`, and no further one once they hold `bytes`.
-- What has a dead letter of this shard is left out: the page was read before, by us or by a term that died.
-- `more` says whether the window goes on behind a row. No rows: the window is finished.
-- Index: event_pkey above `lo` for those that began after A, event_tx_idx for the old ones. Takes no locks beyond reading.
select id, event_id::text, aggregate_type, aggregate_id, type, payload::text, headers::text, topic, created_at, more
from (
  select
    page.*,
    row_number() over by_id as number,
    sum(pg_column_size(payload)) over by_id - pg_column_size(payload) as bytes_before,
    lead(id) over by_id is not null as more
  from (
    (
      select id, event_id, aggregate_type, aggregate_id, type, payload, headers, topic, created_at
      from outbox.event
      where id > greatest(%(last)s::bigint, %(lo)s::bigint)
        and tx >= pg_snapshot_xmax(%(a)s::pg_snapshot) and tx < pg_snapshot_xmax(%(b)s::pg_snapshot)
        and pg_visible_in_snapshot(tx, %(b)s::pg_snapshot)
        and (%(shards)s = 1 or outbox.shard_of(aggregate_type, aggregate_id, %(shards)s) = %(shard)s)
        and (
          id > (select coalesce(max(event_row_id), 0) from outbox.dead_letter where stage = 'publish' and shard = %(shard)s)
          or not exists (
            select from outbox.dead_letter as d where d.stage = 'publish' and d.shard = %(shard)s and d.event_row_id = event.id
          )
        )
      order by id
      limit %(rows)s + 1
    )
    union all
    (
      select id, event_id, aggregate_type, aggregate_id, type, payload, headers, topic, created_at
      from outbox.event
      where tx = any(%(olds)s::xid8[]) and id > %(last)s::bigint
        and (%(shards)s = 1 or outbox.shard_of(aggregate_type, aggregate_id, %(shards)s) = %(shard)s)
        and not exists (
          select from outbox.dead_letter as d where d.stage = 'publish' and d.shard = %(shard)s and d.event_row_id = event.id
        )
      order by id
      limit %(rows)s + 1
    )
    order by id
    limit %(rows)s + 1
  ) as page
  window by_id as (order by id rows unbounded preceding)
) as numbered
where number <= %(rows)s and bytes_before < %(bytes)s
order by id
