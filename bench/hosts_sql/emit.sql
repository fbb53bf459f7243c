-- The same through the function, which locks the aggregate first.
\set account random(1, 100000)
begin;
update bench.account set balance = balance + 1 where id = :account;
select outbox.emit(
  type => 'account.changed', aggregate_type => 'account', aggregate_id => (:account)::bigint::text,
  payload => json_build_object('n', (:account)::bigint, 'filler', repeat('x', 280))
);
end;
