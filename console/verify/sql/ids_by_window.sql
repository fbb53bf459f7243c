-- The ids that the pages of the windows of a shard must hold: of events that have no dead letter, or one that says
-- that they were published already, in this window or in a history that is gone.
select e.seq, e.id, l.id is not null
from event as e left join letter as l on l.shard = e.shard and l.id = e.id
where e.shard = ? and e.seq is not null and (l.id is null or l.reason = 'already_published')
order by e.seq, e.id
