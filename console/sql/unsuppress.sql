-- Let mail to a recipient through again, audited; refused when it is not held. Locks its row of the suppression list.
select outbox.unsuppress(%(recipient_key)s, %(reason)s) as outcome
