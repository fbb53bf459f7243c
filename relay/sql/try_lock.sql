-- Take the lease of a shard for this session, if nobody holds it. Always one row.
-- The advisory lock (space "outb", shard) is released when the session ends, however it ends.
select pg_try_advisory_lock(%(space)s, %(shard)s) as granted
