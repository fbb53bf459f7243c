-- What PostgreSQL remembers of a window. No row: it never had one, or it was lost or pruned.
-- Index: primary key. Takes no locks beyond reading.
select a::text, b::text, epoch, n from outbox.batch where shard = %(shard)s and seq = %(seq)s
