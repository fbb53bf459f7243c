-- The same, and the row is an event.
\set account random(1, 100000)
begin;
update bench.account set balance = balance + 1 where id = :account;
insert into outbox.event (aggregate_type, aggregate_id, type, payload)
values ('account', (:account)::bigint::text, 'account.changed', json_build_object('n', (:account)::bigint, 'filler', repeat('x', 280)));
end;
