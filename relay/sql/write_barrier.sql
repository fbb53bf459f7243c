-- The barrier of a window (W2): fence, proof of history, and what makes the transaction ids that B has seen durable (rule 1).
-- An upsert: a term that died between this row and its Kafka commit has left one under this seq.
-- No row: a successor has raised the epoch, and nothing may be published any more.
-- Index: primary keys. Locks the shard's row for share, so that a takeover waits for it, or it for the takeover.
insert into outbox.batch (shard, seq, epoch, a, b, n)
select shard, %(seq)s, epoch, %(a)s::pg_snapshot, %(b)s::pg_snapshot, %(n)s
from outbox.shard
where shard = %(shard)s and epoch = %(epoch)s
for share
on conflict (shard, seq) do update
  set epoch = excluded.epoch, a = excluded.a, b = excluded.b, n = excluded.n, at = now()
  where batch.epoch <= excluded.epoch
returning seq
