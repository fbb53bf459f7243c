-- Finished deliveries by state, from a sample of %(percent)s per cent of the table's pages. No row: the sample has none.
-- Reads that share of the table and no index: for tables too large to count.
select state, count(*) as count
from outbox.delivery tablesample system (%(percent)s)
where state in ('sent', 'dead', 'suppressed', 'expired', 'cancelled', 'bounced')
group by state
