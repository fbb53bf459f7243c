-- Begin a term: every write of a predecessor names a smaller epoch and changes nothing from here on.
-- No row: there is no such shard. Index: primary key. Locks the shard's row, so it waits for writes under way.
update outbox.shard set epoch = epoch + 1
where shard = %(shard)s
returning epoch, bootstrapped, pruned_seq, confirmed_seq
