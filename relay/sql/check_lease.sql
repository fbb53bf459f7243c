-- Are lock and epoch still ours? No row, or held = false: the lease is lost.
-- Index: primary key. Takes no locks beyond reading.
select s.epoch, exists (
  select from pg_locks as l
  where l.locktype = 'advisory' and l.pid = pg_backend_pid() and l.granted
    and l.classid = %(space)s::bigint::oid and l.objid = %(shard)s::bigint::oid and l.objsubid = 2
) as held
from outbox.shard as s
where s.shard = %(shard)s
