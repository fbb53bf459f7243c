-- Give dead letters up for good, each audited; a row an id says what came of it.
-- One transaction; locks the rows. What may not be discarded is left as it is and says why.
select id, done, outcome from outbox.discard_many(%(ids)s, %(reason)s)
