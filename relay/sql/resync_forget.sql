-- Let what an earlier resync left out as published be published again. Always one row. Locks the rows that it deletes.
select outbox.forget_published(%(shard)s, %(reason)s) as forgotten
