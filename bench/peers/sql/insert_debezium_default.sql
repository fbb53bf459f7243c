-- Events $1 to $2 for Debezium with its default settings.
insert into debezium_default_outbox (aggregatetype, aggregateid, type, payload)
select 'peers', (n % 1000)::text, 'bench.happened', json_build_object('n', n, 'filler', repeat('x', 280))
from generate_series($1::bigint, $2::bigint) as n
