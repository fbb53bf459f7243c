-- Deliveries that somebody has still to act upon, by state: few beside the finished ones, and each kind has an index.
-- Index: delivery_due_idx, delivery_claimed_idx, delivery_doubt_idx. No row: nothing is under way.
select state, count(*) as count from outbox.delivery where state = 'queued' group by state
union all
select state, count(*) from outbox.delivery where state in ('claimed', 'sending') group by state
union all
select state, count(*) from outbox.delivery where state = 'in_doubt' group by state
