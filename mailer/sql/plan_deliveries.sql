-- Owe the deliveries of a batch of records; one that is owed already is left alone, so reading a record again is harmless.
-- Returns a row for each that is new. Uses the unique key (event_id, mail, recipient_key). Locks the new rows only.
insert into outbox.delivery (event_id, event_type, aggregate_type, aggregate_id, mail, recipient, recipient_key, locale,
                             lane, priority, in_doubt_policy, suppressible, payload, traceparent, expires_at)
select p.event_id, p.event_type, p.aggregate_type, p.aggregate_id, p.mail, p.recipient, p.recipient_key, p.locale,
       p.lane, p.priority, p.in_doubt_policy, p.suppressible, p.payload::json, p.traceparent, now() + make_interval(secs => p.expires_after)
from unnest(%(event_ids)s::uuid[], %(event_types)s::text[], %(aggregate_types)s::text[], %(aggregate_ids)s::text[],
            %(mails)s::text[], %(recipients)s::text[], %(recipient_keys)s::bytea[], %(locales)s::text[], %(lanes)s::text[],
            %(priorities)s::smallint[], %(in_doubt_policies)s::text[], %(suppressible)s::boolean[], %(payloads)s::text[],
            %(traceparents)s::text[], %(expires_after)s::float8[])
  as p(event_id, event_type, aggregate_type, aggregate_id, mail, recipient, recipient_key, locale, lane, priority,
       in_doubt_policy, suppressible, payload, traceparent, expires_after)
on conflict (event_id, mail, recipient_key) do nothing
returning event_id, mail, lane
