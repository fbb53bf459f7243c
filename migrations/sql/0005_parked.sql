-- Keys that are parked, found by shard and in the order of their dead letters. Not by aggregate_id, which has no upper
-- length: a row of a btree holds 2,700 bytes, and the insert of the dead letter of a longer key was refused for ever.
-- In the migration's transaction, so that there is never none: it holds parked keys only, which are few.
-- squawk-ignore require-concurrent-index-deletion
drop index outbox.dead_letter_parked_idx;
-- squawk-ignore require-concurrent-index-creation
create index dead_letter_parked_idx on outbox.dead_letter (shard, id)
  where parks and (resolved_at is null or redrive_pending);
