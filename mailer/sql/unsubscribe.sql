-- Hold what is suppressible from a recipient that asked for it; asked again, the first time counts.
-- Locks its row of the suppression list. Index: the primary key.
insert into outbox.suppression (recipient_key, reason, undeliverable, unsubscribed_at)
values (%(recipient_key)s, %(reason)s, false, now())
on conflict (recipient_key) do update set unsubscribed_at = coalesce(suppression.unsubscribed_at, excluded.unsubscribed_at)
returning unsubscribed_at
