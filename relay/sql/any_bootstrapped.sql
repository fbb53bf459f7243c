-- Has this installation ever published? Then its progress topic must exist, and is never made again.
-- Always one row. Takes no locks beyond reading.
select exists (select from outbox.shard where bootstrapped) as bootstrapped
