-- Rows with the reason of their dead letter, in the order of the event ids.
select e.event_id, e.id, e.shard, e.seq, e.since, e.topic, e.key, l.reason, e.judged
from event as e left join letter as l on l.shard = e.shard and l.id = e.id
order by e.event_id, e.id
