-- Who holds the lease of a shard? No row: nobody. Of other roles, PostgreSQL may show the pid only.
-- Takes no locks.
select l.pid, coalesce(a.application_name, '') as application_name, coalesce(a.backend_start::text, '') as since,
  host(a.client_addr) as address
from pg_locks as l
left join pg_stat_activity as a using (pid)
where l.locktype = 'advisory' and l.granted and l.objsubid = 2
  and l.classid = %(space)s::bigint::oid and l.objid = %(shard)s::bigint::oid
  and l.database = (select oid from pg_database where datname = current_database())
