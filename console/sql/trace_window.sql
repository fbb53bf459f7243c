-- The first window of a shard from seq on, and whether snapshots b and a see a transaction. No row: there is none.
-- Index: primary key of batch.
select seq, epoch, n, at, pg_visible_in_snapshot(%(tx)s::xid8, b) as in_b, pg_visible_in_snapshot(%(tx)s::xid8, a) as in_a
from outbox.batch
where shard = %(shard)s and seq >= %(seq)s
order by seq
limit 1
