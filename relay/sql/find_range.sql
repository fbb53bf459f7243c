-- How many events did the transactions insert that began between A and B (W1), and between which ids are all of them?
-- The bounds are taken from rows, never from the sequence, which would lose what is inserted out of order (rule 10).
-- n = 0: only old transactions can have ended. `offset 0` keeps min(id) and max(id) from walking the primary key instead.
-- Index: event_tx_idx, without a visit to the table. Takes no locks beyond reading and no transaction id.
select coalesce(min(id) - 1, 0) as lo, coalesce(max(id), 0) as hi, count(*) as n
from (
  select id from outbox.event
  where tx >= pg_snapshot_xmax(%(a)s::pg_snapshot) and tx < pg_snapshot_xmax(%(b)s::pg_snapshot)
  offset 0
) as in_range
