-- Events that a resync has left out as published, and that publishing from the beginning lets go. Always one row.
-- Index: dead_letter_publish_key. Takes no locks beyond reading.
select count(*) as count from outbox.dead_letter
where stage = 'publish' and shard = %(shard)s and reason = 'already_published' and resolved_at is not null
