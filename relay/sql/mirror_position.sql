-- Note for people and retention how far Kafka has confirmed. No row: fenced.
-- Index: primary key. Locks the shard's row.
update outbox.shard
set confirmed_seq = %(seq)s, confirmed_snap = %(b)s::pg_snapshot, confirmed_last = %(last)s, confirmed_at = now()
where shard = %(shard)s and epoch = %(epoch)s
returning shard
