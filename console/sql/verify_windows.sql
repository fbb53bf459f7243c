-- The barrier rows of some windows of a shard. No rows: there are none, or retention has deleted them.
-- `since`: nothing of the window was published before it; for a later term has perhaps written `at` anew, it is its
-- predecessor's. Null: that one is gone. Index: primary key. Takes no locks beyond reading and no transaction id.
select seq, epoch, a::text as a, b::text as b, n, extract(epoch from at)::float8 as at,
  (
    select extract(epoch from p.at)::float8 from outbox.batch as p where p.shard = w.shard and p.seq = w.seq - 1
  ) as since
from outbox.batch as w
where shard = %(shard)s and seq between %(first)s and %(last)s
order by seq
