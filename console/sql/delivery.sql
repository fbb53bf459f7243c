-- One delivery, without its recipient and content. No row: there is none with that id.
-- Index: primary key.
select id, message_uuid, event_id, event_type, aggregate_type, aggregate_id, mail, locale, lane, in_doubt_policy, state, cycle, attempt,
  next_attempt_at, expires_at, claimed_by, claimed_until, pinned_transport, created_at, finished_at
from outbox.delivery
where id = %(id)s
