-- Recipients to whom mail is held, the newest first; addresses are not kept, only their hashes.
-- Reads the whole table, which has a row a recipient that bounced or unsubscribed.
select encode(recipient_key, 'hex') as recipient, reason, undeliverable, unsubscribed_at, delivery_id, created_at
from outbox.suppression
where %(before)s::timestamptz is null or created_at < %(before)s::timestamptz
order by created_at desc
limit %(limit)s
