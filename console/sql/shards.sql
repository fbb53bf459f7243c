-- Every shard with its mirror of the position, and who holds its lease now. No row: no relay has run yet.
-- The advisory lock (space "outb", shard) is the lease; a session that may not be seen shows its pid only.
select s.shard, s.epoch, s.bootstrapped, s.confirmed_seq, s.confirmed_at, s.pruned_seq, s.halted_reason, s.halted_at,
  l.pid as holder_pid, nullif(a.application_name, '') as holder_application, a.backend_start as holder_since,
  host(a.client_addr) as holder_address
from outbox.shard as s
left join pg_locks as l
  on l.locktype = 'advisory' and l.granted and l.objsubid = 2
  and l.classid = %(space)s::bigint::oid and l.objid = s.shard::bigint::oid
  and l.database = (select oid from pg_database where datname = current_database())
left join pg_stat_activity as a on a.pid = l.pid
order by s.shard
