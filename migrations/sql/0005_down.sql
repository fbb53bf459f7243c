-- Back to the schema of 0004. The index is not made again for keys that it cannot hold: then this fails, and says so.
drop function outbox.forget_published(integer, text);
drop function outbox.adopt_history(uuid, text);
alter table outbox.meta drop column database_oid;
drop index outbox.dead_letter_parked_idx;
create index dead_letter_parked_idx on outbox.dead_letter (shard, aggregate_type, aggregate_id)
  where parks and (resolved_at is null or redrive_pending);
