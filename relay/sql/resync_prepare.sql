-- From here on an absent record means stop, also where none was ever committed. Only in a transaction that holds the fence.
-- No row: there is no such shard. Index: primary key. Locks the shard's row.
update outbox.shard set bootstrapped = true where shard = %(shard)s returning shard
