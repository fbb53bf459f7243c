-- What is kept of a recipient, by its key: how many deliveries in which state, how many of them name it still.
-- No row: nothing was ever owed to it. Index: delivery_recipient_idx.
select state, count(*) as count, count(*) filter (where recipient is not null) as named
from outbox.delivery
where recipient_key = %(recipient_key)s
group by state
order by state
