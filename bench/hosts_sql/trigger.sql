-- The host's own change alone: a trigger on its table makes the event, with the same columns.
\set account random(1, 100000)
begin;
update bench.captured set balance = balance + 1 where id = :account;
end;
