-- Take everything that the mailer keeps of a recipient, audited, and say how much it was. Locks what it changes.
select deliveries, cancelled, dead_letters, held
from outbox.erase_recipient(%(recipient_key)s, %(needles)s, %(reason)s)
