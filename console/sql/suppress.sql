-- Hold all mail to a recipient, audited. Locks its row of the suppression list.
select outbox.suppress(%(recipient_key)s, %(reason)s) as outcome
