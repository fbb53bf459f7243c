-- What a dead letter keeps of the event or the record: may hold personal data. No row: there is none with that id.
-- Index: primary key.
select payload::text as payload, headers, record_value, record_headers from outbox.dead_letter where id = %(id)s
