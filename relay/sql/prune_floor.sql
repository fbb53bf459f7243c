-- Raise the window from which a position is still believed to the confirmed one, before anything below it goes.
-- No row: nothing newer is confirmed. Index: none, there is a row a shard. Locks the shards' rows for an instant.
update outbox.shard set pruned_seq = confirmed_seq
where bootstrapped and pruned_seq < confirmed_seq
returning shard
