-- The last window of a shard. Always one row; null if it has none.
-- Index: primary key of batch.
select max(seq) as seq from outbox.batch where shard = %(shard)s
