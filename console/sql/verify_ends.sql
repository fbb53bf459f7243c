-- The smallest and the largest id of an event. Nulls: there is none. Index: event_pkey, from both ends.
select (select min(id) from outbox.event) as low, (select max(id) from outbox.event) as high
