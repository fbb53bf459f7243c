-- Every dead letter of an event, the first one first, without content. No row: it has none.
-- Index: dead_letter_event_idx.
select id, stage, reason, detail, type, aggregate_type, aggregate_id, shard, event_row_id, parks, behind, topic, record_partition,
  record_offset, mail, delivery_id, created_at, resolved_at, resolution, resolved_by, resolution_reason, redriven_event_id, redrive_pending
from outbox.dead_letter
where event_id = %(event_id)s
order by id
