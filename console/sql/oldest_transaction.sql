-- The transaction of this database that has held a snapshot or an id for longest. No row: none is open but ours.
-- Its events are published after it commits; until then retention and vacuum cannot pass it.
-- xact_start is null for a role that may not see other sessions (pg_read_all_stats).
select a.pid, coalesce(nullif(a.application_name, ''), a.backend_type) as application, a.usename as user_name, a.state,
  a.xact_start as since, extract(epoch from clock_timestamp() - a.xact_start)::float8 as age_seconds,
  a.backend_xid is not null as writes
from pg_stat_activity as a
where (a.backend_xid is not null or a.backend_xmin is not null)
  and a.datname = current_database() and a.pid <> pg_backend_pid()
order by a.xact_start nulls last, age(coalesce(a.backend_xid, a.backend_xmin)) desc
limit 1
