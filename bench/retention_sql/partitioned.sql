-- The event table as it would be, divided by the time of the insert: the primary key has to hold that time as well.
create schema if not exists bench;
create table bench.event (
  tx xid8 not null default pg_current_xact_id(),
  id bigint generated always as identity (cache 1 no cycle),
  event_id uuid not null default gen_random_uuid(),
  aggregate_type text not null check (aggregate_type <> '' and length(aggregate_type) <= 200),
  aggregate_id text not null check (aggregate_id <> ''),
  type text not null check (type <> '' and length(type) <= 200),
  payload json not null,
  headers jsonb check (jsonb_typeof(headers) = 'object'),
  topic text check (topic <> ''),
  created_at timestamptz not null default clock_timestamp(),
  primary key (id, created_at)
) partition by range (created_at);
create index event_tx_idx on bench.event (tx, id);
