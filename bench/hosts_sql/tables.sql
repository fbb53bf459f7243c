-- Two tables of a host, one of them captured, and a plain table that takes what the outbox would take.
create schema bench;
create table bench.account (id bigint primary key, balance bigint not null default 0);
insert into bench.account (id) select generate_series(1, 100000);
create table bench.captured (id bigint primary key, balance bigint not null default 0, filler text not null);
insert into bench.captured (id, filler) select n, repeat('x', 280) from generate_series(1, 100000) as n;
select outbox.capture('bench.captured', 'account', 'id', 'account', 'id', 'balance', 'filler');
create table bench.plain (
  id bigint generated always as identity primary key,
  aggregate_type text not null,
  aggregate_id text not null,
  type text not null,
  payload json not null,
  created_at timestamptz not null default clock_timestamp()
);
