-- The first window of a shard from seq on: when it was found, and which transactions its snapshot B separates.
-- No row: there is none. Index: primary key. Takes no locks beyond reading and no transaction id.
select seq, extract(epoch from at)::float8 as at, pg_snapshot_xmin(b)::text::bigint as xmin, pg_snapshot_xmax(b)::text::bigint as xmax
from outbox.batch
where shard = %(shard)s and seq >= %(seq)s
order by seq
limit 1
