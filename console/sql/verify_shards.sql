-- The windows that PostgreSQL still knows of each shard, and its mirror of the position. A row a shard that has published.
-- Index: primary key of batch, from both ends. Takes no locks beyond reading and no transaction id.
select s.shard, s.confirmed_seq, s.confirmed_last, s.pruned_seq,
  (select min(seq) from outbox.batch as b where b.shard = s.shard) as first_seq,
  (select max(seq) from outbox.batch as b where b.shard = s.shard) as last_seq
from outbox.shard as s
where s.bootstrapped
order by s.shard
