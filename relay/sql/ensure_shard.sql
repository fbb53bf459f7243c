-- Have a row for each shard. No row back: all were there. Index: primary key.
insert into outbox.shard (shard)
select n from generate_series(0, %(shards)s - 1) as n
where not exists (select from outbox.shard where shard = n)
on conflict do nothing
returning shard
