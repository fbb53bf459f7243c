-- Note why a relay stopped to keep the guarantee, for whoever looks at the status. A relay without a term gives no epoch.
-- The first moment stays: since then nothing was published.
-- No row: a successor is at work. Index: primary key. Locks the shard's row.
update outbox.shard set halted_reason = %(reason)s, halted_at = coalesce(halted_at, now())
where shard = %(shard)s and epoch <= coalesce(%(epoch)s::bigint, epoch)
returning shard
