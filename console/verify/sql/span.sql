-- The smallest and largest id read of a shard.
select min(id), max(id) from event where shard = ?
