-- The new position is committed in Kafka: note it, and that nothing keeps the shard from going on. No row: fenced.
-- Index: primary key. Locks the shard's row.
update outbox.shard
set confirmed_seq = %(seq)s, confirmed_snap = %(b)s::pg_snapshot, confirmed_last = %(last)s, confirmed_at = now(),
  halted_reason = null, halted_at = null
where shard = %(shard)s and epoch = %(epoch)s
returning shard
