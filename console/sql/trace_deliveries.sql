-- Every delivery that an event made, without recipient and content. No row: no mail was owed, or none is planned yet.
-- Index: delivery_event_idx.
select id, event_type, aggregate_type, aggregate_id, mail, lane, state, cycle, attempt, next_attempt_at, expires_at, claimed_by,
  created_at, finished_at
from outbox.delivery
where event_id = %(event_id)s
order by id
