-- Queued deliveries that are due, by lane, and since when the oldest is. No row: none is due.
-- Index: delivery_due_idx.
select lane, count(*) as count, extract(epoch from now() - min(next_attempt_at))::float8 as oldest_seconds
from outbox.delivery
where state = 'queued' and next_attempt_at <= now()
group by lane
order by lane
