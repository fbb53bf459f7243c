-- Heads of parked keys that an operator has resolved: their keys are to be released. No rows: none.
-- Index: dead_letter_parked_idx. Takes no locks beyond reading.
select id, aggregate_type, aggregate_id from outbox.dead_letter
where shard = %(shard)s and parks and redrive_pending and (resolved_at is null or redrive_pending)
order by id
