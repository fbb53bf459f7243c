-- How many deliveries are not settled, by state, and for how long has the oldest been due? Counted by the partial indexes
-- of these states alone: what is settled grows for ever. Takes no locks.
select state, count(*) as count,
       coalesce(extract(epoch from now() - min(next_attempt_at) filter (where state = 'queued' and next_attempt_at <= now())), 0)::float8
         as oldest_due_seconds
from outbox.delivery where state = 'queued' group by state
union all
select state, count(*), 0 from outbox.delivery where state in ('claimed', 'sending') group by state
union all
select state, count(*), 0 from outbox.delivery where state = 'in_doubt' group by state
