-- Whether and why mail to a recipient is held. No row: it is not. Index: primary key.
select reason, undeliverable, unsubscribed_at, delivery_id, created_at
from outbox.suppression
where recipient_key = %(recipient_key)s
