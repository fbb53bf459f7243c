-- Between which transactions the rows of a range of ids lie. Nulls: there are no such rows.
-- Index: event_pkey. Takes no locks beyond reading and no transaction id.
select min(tx::text::bigint) as least, max(tx::text::bigint) as greatest
from outbox.event
where id between %(first)s and %(last)s
