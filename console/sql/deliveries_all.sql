-- Deliveries by state, counted. Reads the whole table: only while that is small. No row: there is none.
select state, count(*) as count from outbox.delivery group by state
