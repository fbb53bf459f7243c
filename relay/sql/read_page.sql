-- The next rows of a window in the order of their ids (W3, rule 7): at most `rows`, and no further one once they hold `bytes`.
-- What has a dead letter of this shard is left out: the page was read before, by us or by a term that died.
-- `more` says whether the window goes on behind a row. No rows: the window is finished.
-- Index: event_pkey from `lo` to `hi` for those that began after A, event_tx_idx for the old ones. Takes no locks beyond reading.
-- `is true` keeps the planner from event_tx_idx in the first part: it would read and sort all that is left of the window for
-- each page (820 ms instead of 5 for 5,000 of 300,000 rows), for it takes id and tx for independent of each other. Between
-- `lo` and `hi` nearly all ids are the window's. An old transaction has a scan of its own, which reads no more than a page either; `between`
-- and the order by tx keep the planner from event_pkey there, which goes through what was published long ago.
select id, event_id::text, aggregate_type, aggregate_id, type, payload::text, headers::text, topic,
  coalesce(to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), created_at::text), more  -- or `infinity`
from (
  select
    page.*,
    sum(pg_column_size(payload)) over by_id - pg_column_size(payload) as bytes_before,
    lead(id) over by_id is not null as more
  from (
    (
      select id, event_id, aggregate_type, aggregate_id, type, payload, headers, topic, created_at
      from outbox.event
      where id > greatest(%(last)s::bigint, %(lo)s::bigint) and id <= %(hi)s::bigint
        and (tx >= pg_snapshot_xmax(%(a)s::pg_snapshot) and tx < pg_snapshot_xmax(%(b)s::pg_snapshot)) is true
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
      from unnest(%(olds)s::xid8[]) as old(ended)
      cross join lateral (
        select * from outbox.event
        where tx between old.ended and old.ended and id > %(last)s::bigint
          and (%(shards)s = 1 or outbox.shard_of(aggregate_type, aggregate_id, %(shards)s) = %(shard)s)
          and not exists (
            select from outbox.dead_letter as d where d.stage = 'publish' and d.shard = %(shard)s and d.event_row_id = event.id
          )
        order by tx, id
        limit %(rows)s + 1
      ) as of_old
      order by id
      limit %(rows)s + 1
    )
    order by id
    limit %(rows)s + 1
  ) as page
  window by_id as (order by id rows unbounded preceding)
) as measured
where bytes_before < %(bytes)s
order by id
limit %(rows)s
