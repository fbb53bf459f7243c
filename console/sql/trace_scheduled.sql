-- An event that is kept aside. No row: it is not.
-- Index: primary key.
select due_at, type, aggregate_type, aggregate_id, topic, created_at from outbox.scheduled where event_id = %(event_id)s
