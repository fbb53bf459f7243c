-- How many ids a session takes at a time for outbox.event; more than one, and order by id is not emit order. Always one row.
select seqcache as cache from pg_sequence where seqrelid = pg_get_serial_sequence('outbox.event', 'id')::regclass
