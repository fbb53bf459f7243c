-- How many permits are outstanding in each lane? Reads a handful of rows, takes no locks.
select lane, count(*) as count from outbox.permit group by lane
