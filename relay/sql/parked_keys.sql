-- Keys whose events wait behind a dead letter. No rows: none does.
-- Index: dead_letter_parked_idx. Takes no locks beyond reading.
select id, aggregate_type, aggregate_id from outbox.dead_letter
where shard = %(shard)s and parks and (resolved_at is null or redrive_pending)
