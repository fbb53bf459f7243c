-- Have the relay leave out events that are in the topics already: a dead letter that is resolved at once, which every
-- reader of a window passes by. Only in a transaction that holds the fence. Index: event_pkey, dead_letter_publish_key.
insert into outbox.dead_letter (
  stage, reason, detail, event_id, type, aggregate_type, aggregate_id, shard, event_row_id, topic, attempts,
  resolved_at, resolution, resolved_by, resolution_reason
)
select
  'publish', 'already_published', 'a resync found it in its topic', e.event_id, e.type, e.aggregate_type, e.aggregate_id,
  %(shard)s, e.id, e.topic, 0, now(), 'discarded', session_user::text, %(reason)s
from outbox.event as e
where e.id = any(%(ids)s::bigint[])
on conflict (shard, event_row_id) where stage = 'publish' do nothing
returning id
