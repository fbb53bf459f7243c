-- Begin the term of a resync, above every epoch that Kafka knows. The step is random, as in a takeover. No row: there is
-- no such shard. Index: primary key. Locks the shard's row, so it waits for writes under way.
update outbox.shard set epoch = greatest(epoch, %(above)s::bigint) + 1 + floor(random() * 1000)::bigint
where shard = %(shard)s
returning epoch, bootstrapped, pruned_seq, confirmed_seq, confirmed_last
