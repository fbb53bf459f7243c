-- From now on an absent progress record means stop, never "from the start". No row: fenced.
-- Index: primary key. Locks the shard's row.
update outbox.shard set bootstrapped = true
where shard = %(shard)s and epoch = %(epoch)s
returning shard
