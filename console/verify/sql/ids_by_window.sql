-- The ids that the pages of the windows of a shard must hold: of events that have no dead letter.
select e.seq, e.id
from event as e left join letter as l on l.shard = e.shard and l.id = e.id
where e.shard = ? and e.seq is not null and l.id is null
order by e.seq, e.id
