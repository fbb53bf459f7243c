-- What two writers of one aggregate have in common: its lock, and its shard.
-- The hash is the one of hash partitioning, which PostgreSQL keeps stable over pg_upgrade; a dump into another machine
-- is another history anyway, at which the relay stops. Type and id are hashed one after the other, so that
-- ('a', 'b:c') and ('a:b', 'c') need no separator to differ.

create function outbox.lock_key(aggregate_type text, aggregate_id text) returns bigint
  language sql immutable strict parallel safe
  -- "outk": of all who use advisory locks in this database, only we begin from it.
  return hashtextextended(aggregate_id, hashtextextended(aggregate_type, 1869968491));

comment on function outbox.lock_key is
  'the advisory lock of an aggregate; whoever holds it while inserting gives the events of the key their order';

create function outbox.shard_of(aggregate_type text, aggregate_id text, shards integer) returns integer
  language sql immutable strict parallel safe
  return ((hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) & 9223372036854775807) % shards)::integer;

comment on function outbox.shard_of is 'which of so many shards publishes the events of an aggregate, counted from 0';
