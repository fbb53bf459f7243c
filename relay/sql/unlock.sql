-- Give the lease of a shard back. Always one row.
-- Releases the advisory lock (space "outb", shard).
select pg_advisory_unlock(%(space)s, %(shard)s) as released
