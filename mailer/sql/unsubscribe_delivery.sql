-- Hold what is suppressible from the recipient of a delivery that complained of it. No row: there is no such message.
-- Index: delivery_message_uuid_key. Locks its row of the suppression list.
insert into outbox.suppression (recipient_key, reason, delivery_id, undeliverable, unsubscribed_at)
select d.recipient_key, %(reason)s, d.id, false, now() from outbox.delivery d where d.message_uuid = %(message_uuid)s
on conflict (recipient_key) do update set unsubscribed_at = coalesce(suppression.unsubscribed_at, excluded.unsubscribed_at)
returning recipient_key
