-- Prepared transactions of this database, the oldest first: somebody's two-phase commit that never ended. No row: none.
select gid, owner, prepared, extract(epoch from now() - prepared)::float8 as age_seconds
from pg_prepared_xacts
where database = current_database()
order by prepared
