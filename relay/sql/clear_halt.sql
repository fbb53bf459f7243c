-- Forget why a predecessor stopped: we go on. No row: none had, or fenced. Index: primary key. Locks the shard's row.
update outbox.shard set halted_reason = null, halted_at = null
where shard = %(shard)s and epoch = %(epoch)s and halted_reason is not null
returning shard
