-- How many windows, events of the range, dead letters of those, and records there are.
select (select count(*) from event where judged),
  (select count(*) from event as e join letter as l on l.shard = e.shard and l.id = e.id where e.judged),
  (select count(*) from record)
