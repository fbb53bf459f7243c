-- The oldest window that is still kept of each shard and is published: retention takes it when it is old enough. No row: none.
-- Index: primary key of batch, a probe a shard.
select s.shard, b.seq, extract(epoch from now() - b.at)::float8 as age_seconds
from outbox.shard as s
cross join lateral (
  select b.seq, b.at from outbox.batch as b
  where b.shard = s.shard and b.seq > s.pruned_seq and b.seq < s.confirmed_seq
  order by b.seq limit 1
) as b
