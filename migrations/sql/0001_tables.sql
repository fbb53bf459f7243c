-- Every table of the outbox. The schema defends itself: a comment beside each constraint says what it prevents.
-- The schema `outbox` exists already: the version table of alembic lives in it.

-- ------------------------------------------------------------------------------------------------ who we are
create table outbox.meta (
  one boolean primary key default true check (one),            -- one installation a database: positions never mix
  install_id uuid not null default gen_random_uuid(),          -- names the transactional ids and the progress topic
  sysid bigint not null,                                       -- the cluster this history belongs to (pg_control_system)
  generation integer not null default 1 check (generation > 0),-- rises when an operator accepts a changed history
  shards integer not null default 1 check (shards between 1 and 64)
);

-- ---------------------------------------------------------------------------------------------------- events
-- Insert-only: no status column and no update, so it never bloats. Columns map one to one on Debezium's outbox table.
create table outbox.event (
  tx xid8 not null default pg_current_xact_id(),               -- the top-level transaction; hosts may not write it
  id bigint generated always as identity (cache 1 no cycle) primary key,  -- cache 1: order by id is emit order per key
  event_id uuid not null default gen_random_uuid(),            -- not indexed: a unique index costs hosts a third of their rate
  aggregate_type text not null check (aggregate_type <> '' and length(aggregate_type) <= 200),
  aggregate_id text not null check (aggregate_id <> ''),       -- the Kafka key: an empty one would lose its order
  type text not null check (type <> '' and length(type) <= 200),
  payload json not null,                                       -- json, not jsonb: the bytes of the host are the bytes on the wire
  headers jsonb check (jsonb_typeof(headers) = 'object'),
  topic text check (topic <> ''),                              -- overrides the route; whether Kafka takes it, the relay finds out
  created_at timestamptz not null default clock_timestamp()
);
create index event_tx_idx on outbox.event (tx, id);            -- the probes of a window; BRIN is useless for them

-- ------------------------------------------------------------------------------------------------- the relay
create table outbox.shard (
  shard integer primary key check (shard >= 0),
  epoch bigint not null default 0,                             -- rises with each takeover; every write of a relay names it
  bootstrapped boolean not null default false,                 -- true: an absent progress record means stop, never "from the start"
  confirmed_seq bigint not null default 0,                     -- a mirror for people and retention; Kafka holds the position
  confirmed_snap pg_snapshot,
  confirmed_last bigint,                                       -- null: the window of confirmed_seq is finished
  confirmed_at timestamptz,
  pruned_seq bigint not null default 0,
  halted_reason text,                                          -- why the last relay stopped to keep the guarantee; null: it did not
  halted_at timestamptz
);
create table outbox.batch (                                    -- the barrier of a window, and the proof of our history
  shard integer not null references outbox.shard,
  seq bigint not null,
  epoch bigint not null,
  a pg_snapshot not null,
  b pg_snapshot not null,
  n bigint not null check (n >= 0),
  at timestamptz not null default now(),
  primary key (shard, seq)
);
-- Events kept aside until due_at, then inserted as ordinary ones.
create table outbox.scheduled (
  event_id uuid primary key default gen_random_uuid(),
  due_at timestamptz not null,
  aggregate_type text not null check (aggregate_type <> '' and length(aggregate_type) <= 200),
  aggregate_id text not null check (aggregate_id <> ''),
  type text not null check (type <> '' and length(type) <= 200),
  payload json not null,
  headers jsonb check (jsonb_typeof(headers) = 'object'),
  topic text check (topic <> ''),
  created_at timestamptz not null default clock_timestamp()
);
create index scheduled_due_idx on outbox.scheduled (due_at);

-- ---------------------------------------------------------------------------------------------- the mailer
create table outbox.delivery (
  id bigint generated always as identity primary key,
  message_uuid uuid not null unique default gen_random_uuid(), -- the Message-ID: stable over attempts, not guessable
  event_id uuid not null,
  event_type text not null,
  aggregate_type text not null,
  aggregate_id text not null,
  mail text not null,                                          -- the folder in templates/
  recipient text,                                              -- null once retention or erasure has taken it
  recipient_key bytea not null,                                -- HMAC of the address: what is left after erasure
  locale text,
  lane text not null default 'default',
  priority smallint not null default 100,                      -- lower goes first within a lane
  in_doubt_policy text not null default 'hold' check (in_doubt_policy in ('resend', 'hold')),
  payload json,                                                -- null once terminal for the time that retention gives
  traceparent text,
  -- queued: due at next_attempt_at          <- consume | claim over | transient | resend | redrive
  -- claimed: a worker holds it              <- claim
  -- sending: that worker may have sent it   <- intent
  -- sent: accepted by a server              <- 250 after the dot
  -- in_doubt: perhaps accepted              <- no reply after the dot | the claim of a `sending` row ran out
  -- dead: gave up, see outbox.dead_letter   <- permanent | attempts or age spent
  -- suppressed, expired, cancelled          <- never attempted (again)
  state text not null default 'queued'
    check (state in ('queued', 'claimed', 'sending', 'sent', 'in_doubt', 'dead', 'suppressed', 'expired', 'cancelled')),
  cycle integer not null default 1,                            -- rises with each redrive
  attempt integer not null default 0,                          -- attempts spent in this cycle
  resent boolean not null default false,                       -- policy `resend` acts once
  next_attempt_at timestamptz not null default now(),
  expires_at timestamptz not null,
  claim_token uuid,
  claimed_by text,
  claimed_until timestamptz,
  pinned_transport text,                                       -- in doubt: a resend goes through the same transport only
  content bytea,                                               -- rendered at the first attempt: every attempt sends these bytes
  template_version text,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  unique (event_id, mail, recipient_key),                      -- one delivery per event, mail and recipient, however often it is read
  check ((state in ('claimed', 'sending')) = (claim_token is not null)),   -- a claim without a token could not be guarded
  check ((claim_token is null) = (claimed_until is null)),     -- a claim that never ends would hide its delivery
  check (state not in ('queued', 'claimed', 'sending') or recipient is not null)
);
create index delivery_due_idx on outbox.delivery (lane, priority, next_attempt_at, id) where state = 'queued';
create index delivery_claimed_idx on outbox.delivery (claimed_until) where state in ('claimed', 'sending');
create index delivery_doubt_idx on outbox.delivery (id) where state = 'in_doubt';
create index delivery_event_idx on outbox.delivery (event_id);
create index delivery_recipient_idx on outbox.delivery (recipient_key);
create index delivery_finished_idx on outbox.delivery (finished_at) where finished_at is not null;

create table outbox.attempt (
  id bigint generated always as identity primary key,
  delivery_id bigint not null references outbox.delivery on delete cascade,
  cycle integer not null,
  attempt integer not null,                                    -- the first is number 1
  at timestamptz not null,
  finished_at timestamptz not null default now(),
  transport text not null,
  phase text not null,
  code integer,
  enhanced_code text,
  outcome text not null check (outcome in ('accepted', 'transient', 'permanent', 'in_doubt')),
  detail text,                                                 -- the reply, scrubbed of addresses
  worker text
);
create index attempt_delivery_idx on outbox.attempt (delivery_id);

create table outbox.transport (                                -- the breaker of a transport, shared by all workers
  name text primary key,
  breaker text not null default 'closed' check (breaker in ('closed', 'open', 'half_open')),
  failures integer not null default 0,
  reason text,
  opened_at timestamptz,
  retry_at timestamptz,                                        -- when one probe may half-open it
  probe_token uuid,                                            -- who probes; a second worker stays away
  changed_at timestamptz not null default now(),
  check ((breaker = 'open') <= (retry_at is not null))         -- an open breaker that nobody may probe would stay open for ever
);
create table outbox.suppression (
  recipient_key bytea primary key,
  reason text not null,
  delivery_id bigint,
  created_at timestamptz not null default now()
);
create table outbox.permit (                                   -- permits outstanding a lane: the cap that keeps the broker short
  id uuid primary key,
  lane text not null,
  issued_at timestamptz not null default now()
);
create index permit_lane_idx on outbox.permit (lane, issued_at);

-- --------------------------------------------------------------------------------------------- what gave up
create table outbox.dead_letter (
  id bigint generated always as identity primary key,
  stage text not null check (stage in ('publish', 'consume', 'deliver')),
  reason text not null check (reason <> ''),                   -- a short word: payload_too_large, invalid_topic, held_behind, malformed, recipient_refused …
  detail text,                                                 -- a sentence, without payload or address
  event_id uuid,
  type text,
  aggregate_type text,
  aggregate_id text,
  shard integer,                                               -- publish: whose relay gave up
  event_row_id bigint,                                         -- publish: outbox.event.id
  parks boolean not null default false,                        -- publish, policy park-key: later events of the same key wait behind this row
  behind bigint references outbox.dead_letter,                 -- publish, reason held_behind: the row with `parks` that it waits for
  topic text,                                                  -- publish: where it was meant to go · consume: where it was read
  record_partition integer,
  record_offset bigint,
  mail text,                                                   -- consume: which mail could not be planned; null: none could
  delivery_id bigint references outbox.delivery,
  cycle integer,
  payload json,                                                -- publish: the event itself, so that a redrive outlives retention
  headers jsonb,
  record_value bytea,                                          -- consume: the record as read, perhaps not JSON
  record_headers jsonb,
  attempts integer not null default 1,
  created_at timestamptz not null default now(),
  resolved_at timestamptz,
  resolution text check (resolution in ('redriven', 'discarded')),
  resolved_by text,
  resolution_reason text,
  redriven_event_id uuid,                                      -- publish: the new event that carries it
  redrive_pending boolean not null default false,              -- consume: the mailer has to plan it again · publish: the relay has to release its key
  check ((resolved_at is null) = (resolution is null)),
  check (resolution is null or resolved_by is not null),       -- who did it is never unknown
  check (stage <> 'deliver' or delivery_id is not null),
  check (stage <> 'publish' or (shard is not null and event_row_id is not null))
);
-- A page that is published again after a crash finds its dead letters here and skips their ids.
create unique index dead_letter_publish_key on outbox.dead_letter (shard, event_row_id) where stage = 'publish';
-- A record that is read again makes no second row; one that fails again after a redrive makes one, with attempts + 1.
create unique index dead_letter_consume_key on outbox.dead_letter (topic, record_partition, record_offset, coalesce(mail, ''), attempts) where stage = 'consume';
create unique index dead_letter_deliver_key on outbox.dead_letter (delivery_id, cycle) where stage = 'deliver';
create index dead_letter_unresolved_idx on outbox.dead_letter (stage, created_at) where resolved_at is null;
create index dead_letter_event_idx on outbox.dead_letter (event_id);
-- Keys that are parked (policy park-key): unresolved, or resolved and waiting for the relay to release what it held back.
create index dead_letter_parked_idx on outbox.dead_letter (shard, aggregate_type, aggregate_id)
  where parks and (resolved_at is null or redrive_pending);
create index dead_letter_behind_idx on outbox.dead_letter (behind) where behind is not null;
create index dead_letter_pending_idx on outbox.dead_letter (stage, id) where redrive_pending;

create table outbox.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  actor text not null,                                         -- session_user, or whom the console authenticated
  action text not null,
  target text not null,
  reason text,
  detail jsonb
);
