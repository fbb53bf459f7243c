-- The host's own change, and a row of the same bytes in a table of its own.
\set account random(1, 100000)
begin;
update bench.account set balance = balance + 1 where id = :account;
insert into bench.plain (aggregate_type, aggregate_id, type, payload)
values ('account', (:account)::bigint::text, 'account.changed', json_build_object('n', (:account)::bigint, 'filler', repeat('x', 280)));
end;
