-- Which rows of a range of ids of a shard have a dead letter of the publish stage, and why. No rows: none has.
-- Index: dead_letter_publish_key. Takes no locks beyond reading and no transaction id.
select event_row_id, reason
from outbox.dead_letter
where stage = 'publish' and shard = %(shard)s and event_row_id between %(low)s and %(high)s
