-- How far a shard is confirmed, as PostgreSQL was told, and the barrier of that window. No row: there is no such shard.
-- Index: primary keys. Takes no locks beyond reading.
select
  s.epoch, s.bootstrapped, s.pruned_seq, s.confirmed_seq, s.confirmed_snap::text as confirmed_snap, s.confirmed_last,
  s.confirmed_at::text as confirmed_at, s.halted_reason, b.a::text as a, b.b::text as b, coalesce(b.n, 0) as n
from outbox.shard as s
left join outbox.batch as b on b.shard = s.shard and b.seq = s.confirmed_seq
where s.shard = %(shard)s
