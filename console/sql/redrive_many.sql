-- Make dead letters pending again, each audited; a row an id says what came of it.
-- One transaction; locks the rows. What may not be redriven is left as it is and says why.
select id, done, outcome from outbox.redrive_many(%(ids)s, %(reason)s)
