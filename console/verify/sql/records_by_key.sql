-- The first record of each event of a window, key by key, in the order in which consumers read them.
-- `cross join`: each record looks up its event. Without statistics SQLite may choose the other order, which is quadratic.
select topic, aggregate, part, pos, shard, seq, id, event_id
from (
  select r.topic, e.aggregate, r.part, r.pos, e.shard, e.seq, e.id, e.event_id,
    row_number() over (partition by e.event_id order by r.topic, r.part, r.pos) as copy
  from record as r cross join event as e on e.event_id = r.event_id
  where e.seq is not null
)
where copy = 1
order by topic, aggregate, part, pos
