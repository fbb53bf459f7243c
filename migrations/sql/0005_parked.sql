-- Keys that are parked, found by shard and in the order of their dead letters. Not by aggregate_id, which has no upper
-- length: a row of a btree holds 2,700 bytes, and the insert of the dead letter of a longer key was refused for ever.
drop index outbox.dead_letter_parked_idx;
create index dead_letter_parked_idx on outbox.dead_letter (shard, id)
  where parks and (resolved_at is null or redrive_pending);
