-- Events $1 to $2 for faststream-outbox, with the notification that its own publish sends in the same transaction.
with inserted as (
  insert into faststream_outbox (queue, payload, headers)
  select
    'bench',
    convert_to(json_build_object('n', n, 'filler', repeat('x', 280))::text, 'UTF8'),
    jsonb_build_object('key', (n % 1000)::text, 'content-type', 'application/octet-stream')
  from generate_series($1::bigint, $2::bigint) as n
  returning 1
)
select pg_notify('outbox_faststream_outbox', 'bench') from (select count(*) from inserted) as counted
