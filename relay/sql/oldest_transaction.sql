-- The oldest transaction that has written and is still open: its events come when it ends. No row: there is none.
-- Of other roles, PostgreSQL may not show the application. Takes no locks.
select pid, coalesce(application_name, '') as application, extract(epoch from now() - xact_start)::float8 as age_seconds
from pg_stat_activity
where backend_xid is not null and datname = current_database() and xact_start is not null
order by xact_start
limit 1
