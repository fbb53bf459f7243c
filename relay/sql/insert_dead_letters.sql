-- Keep events that are not published, in the order of their ids. Only in a transaction that holds the fence.
-- No row for an event: it has a dead letter already. Index: event_pkey, dead_letter_publish_key.
insert into outbox.dead_letter (
  stage, reason, detail, event_id, type, aggregate_type, aggregate_id, shard, event_row_id, parks, behind, topic,
  payload, headers, attempts
)
select
  'publish', %(reason)s, %(detail)s, e.event_id, e.type, e.aggregate_type, e.aggregate_id, %(shard)s, e.id, %(parks)s,
  given.behind, given.topic, e.payload, e.headers, %(attempts)s
from unnest(%(ids)s::bigint[], %(behinds)s::bigint[], %(topics)s::text[]) as given (id, behind, topic)
join outbox.event as e on e.id = given.id
order by e.id
on conflict (shard, event_row_id) where stage = 'publish' do nothing
returning id, event_row_id
