-- The tables of the schema, their size and about how many rows they have. No row: there is no schema.
-- Takes no locks.
select c.relname as name, greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid)) as about_rows, pg_size_pretty(pg_total_relation_size(c.oid)) as size
from pg_class as c
where c.relnamespace = to_regnamespace('outbox') and c.relkind = 'r'
order by c.relname
