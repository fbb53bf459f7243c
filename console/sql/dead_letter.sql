-- One dead letter with everything about it but its content. No row: there is none with that id.
-- Index: primary key, dead_letter_behind_idx.
select d.id, d.stage, d.reason, d.detail, d.event_id, d.type, d.aggregate_type, d.aggregate_id, d.shard, d.event_row_id, d.parks,
  d.behind, d.topic, d.record_partition, d.record_offset, d.mail, d.delivery_id, d.cycle, d.attempts, d.created_at, d.resolved_at,
  d.resolution, d.resolved_by, d.resolution_reason, d.redriven_event_id, d.redrive_pending,
  (select count(*) from outbox.dead_letter as h where h.behind = d.id and h.resolved_at is null) as held_behind
from outbox.dead_letter as d
where d.id = %(id)s
