-- What PostgreSQL remembers of a shard's windows, for a new position: the newest of any, and the mirror. No row: there is
-- no such shard. `strange`: rows of transactions that are yet to begin here, as pg_dump carries them into another cluster.
-- Index: primary keys, event_tx_idx. Takes no locks beyond reading.
select
  s.epoch, s.bootstrapped, s.confirmed_seq, s.confirmed_snap::text as snapshot, s.confirmed_last as last_id,
  b.a::text as a, coalesce(b.n, 0) as n,
  greatest(s.pruned_seq, coalesce((select max(w.seq) from outbox.batch as w where w.shard = s.shard), 0)) as newest_seq,
  exists (select from outbox.event where tx >= pg_snapshot_xmax(pg_current_snapshot())) as strange,
  exists (select from pg_database as d join outbox.meta as m on m.database_oid = d.oid where d.datname <> current_database())
    as original_lives
from outbox.shard as s
left join outbox.batch as b on b.shard = s.shard and b.seq = s.confirmed_seq
where s.shard = %(shard)s
