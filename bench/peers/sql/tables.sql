-- The outbox tables of the peers, and how a backlog is put into any table: in transactions of a few rows each, as hosts do,
-- not in one that a logical decoder would have to hold back until its end.
create table debezium_outbox (
  id uuid primary key default gen_random_uuid(),
  aggregatetype text not null,
  aggregateid text not null,
  type text not null,
  payload json
);
create table debezium_default_outbox (like debezium_outbox including all);

create table usual_outbox (
  id bigint generated always as identity primary key,
  event_id uuid not null default gen_random_uuid(),
  aggregate_type text not null,
  aggregate_id text not null,
  type text not null,
  payload json not null,
  created_at timestamptz not null default now(),
  published_at timestamptz
);
create index usual_outbox_unpublished on usual_outbox (id) where published_at is null;

create procedure bench_backlog(insertion text, first bigint, last bigint, rows_each integer) language plpgsql as $$
begin
  set synchronous_commit = off;
  for n in first .. last by rows_each loop
    execute insertion using n, least(n + rows_each - 1, last);
    commit;
  end loop;
  reset synchronous_commit;
end
$$;
