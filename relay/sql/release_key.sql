-- Let go a parked key whose head is resolved: insert again, as new events and in order, the head (unless it was discarded),
-- what was held behind it, and every event of the key that is committed and that no window has reached yet. The old row
-- of each of those gets a dead letter that is resolved at once, so that its window leaves it out.
-- Only in a transaction that holds the fence and the lock of the key. The row says how many events were inserted.
-- No row: the head is not waiting for a release. Index: dead_letter_behind_idx, event_tx_idx, dead_letter_publish_key.
with head as (
  select * from outbox.dead_letter where id = %(head)s and parks and redrive_pending
), unread as materialized (
  select e.id, e.event_id, e.type, e.aggregate_type, e.aggregate_id, e.topic, e.payload, e.headers, gen_random_uuid() as new_event_id
  from outbox.event as e
  join head as h on h.aggregate_type = e.aggregate_type and h.aggregate_id = e.aggregate_id
  where (
      e.tx >= pg_snapshot_xmax(%(a)s::pg_snapshot)
      or e.tx = any(array(select x from pg_snapshot_xip(%(a)s::pg_snapshot) as x))
    )
    and not exists (
      select from outbox.dead_letter as d where d.stage = 'publish' and d.shard = h.shard and d.event_row_id = e.id
    )
), left_out as (
  insert into outbox.dead_letter (
    stage, reason, detail, event_id, type, aggregate_type, aggregate_id, shard, event_row_id, behind, topic, attempts,
    resolved_at, resolution, resolved_by, resolution_reason, redriven_event_id
  )
  select
    'publish', 'held_behind', 'inserted again behind an earlier event of the same key', u.event_id, u.type, u.aggregate_type,
    u.aggregate_id, h.shard, u.id, h.id, u.topic, 0,
    now(), 'redriven', h.resolved_by, h.resolution_reason, u.new_event_id
  from unread as u, head as h
), held as materialized (
  select d.*, gen_random_uuid() as new_event_id
  from outbox.dead_letter as d
  join head as h on d.behind = h.id
  where d.resolved_at is null
), queue as materialized (
  select h.event_row_id as place, h.event_id, h.type, h.aggregate_type, h.aggregate_id, e.topic, h.payload, h.headers,
    coalesce(h.redriven_event_id, gen_random_uuid()) as new_event_id
  from head as h left join outbox.event as e on e.id = h.event_row_id
  where h.resolution = 'redriven'
  union all
  select d.event_row_id, d.event_id, d.type, d.aggregate_type, d.aggregate_id, e.topic, d.payload, d.headers, d.new_event_id
  from held as d left join outbox.event as e on e.id = d.event_row_id
  union all
  select u.id, u.event_id, u.type, u.aggregate_type, u.aggregate_id, u.topic, u.payload, u.headers, u.new_event_id
  from unread as u
), inserted as (
  insert into outbox.event (event_id, aggregate_type, aggregate_id, type, payload, headers, topic)
  select new_event_id, aggregate_type, aggregate_id, type, payload,
    coalesce(headers, '{}') || jsonb_build_object('redriven-from', event_id::text), topic
  from queue
  order by place
  returning event_id
), resolved as (
  update outbox.dead_letter as d
  set resolved_at = now(), resolution = 'redriven', resolved_by = h.resolved_by, resolution_reason = h.resolution_reason,
    redriven_event_id = s.new_event_id
  from held as s, head as h
  where d.id = s.id
), released as (
  update outbox.dead_letter as d
  set redrive_pending = false,
    redriven_event_id = coalesce(d.redriven_event_id, (select q.new_event_id from queue as q where q.place = h.event_row_id))
  from head as h
  where d.id = h.id
  returning d.id
)
select released.id, (select count(*) from inserted) as inserted from released
