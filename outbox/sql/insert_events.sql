-- Insert events, in the order given, in the host's own transaction.
-- No RETURNING: it would need the right to read, and outbox_writer has only the right to insert these columns.
-- Parallel arrays, one element an event: a batch is one statement and one round trip, whatever its size.
-- `order by` settles the order of the identity column, and with it the order in which a key is published.
-- Locks: none but those of an insert. Index: keeps event_tx_idx and the primary key up to date.
insert into outbox.event (event_id, aggregate_type, aggregate_id, type, payload, headers, topic)
select
  cast(event_id as uuid), aggregate_type, aggregate_id, type, cast(payload as json), cast(headers as jsonb), topic
from unnest(
  cast(%(event_ids)s as text[]), cast(%(aggregate_types)s as text[]), cast(%(aggregate_ids)s as text[]),
  cast(%(types)s as text[]), cast(%(payloads)s as text[]), cast(%(headers)s as text[]), cast(%(topics)s as text[])
) with ordinality
  as given (event_id, aggregate_type, aggregate_id, type, payload, headers, topic, position)
order by position
