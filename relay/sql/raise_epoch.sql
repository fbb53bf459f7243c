-- Begin a term: every write of a predecessor names a smaller epoch and changes nothing from here on.
-- The step is random: a primary and the standby that parted from it go on from one epoch, and must not meet in another.
-- No row: there is no such shard. Index: primary key. Locks the shard's row, so it waits for writes under way.
update outbox.shard set epoch = epoch + 1 + floor(random() * 1000)::bigint
where shard = %(shard)s
returning epoch, bootstrapped, pruned_seq, confirmed_seq, confirmed_last
