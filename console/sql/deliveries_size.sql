-- How large the table of deliveries is, in bytes of its main part. Always one row. Reads no table.
select pg_relation_size('outbox.delivery'::regclass) as bytes
