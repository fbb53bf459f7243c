-- Who this database says it is. No row: the migration did not end.
-- Takes no locks beyond reading.
select install_id::text as install, generation as gen, sysid, shards, database_oid::bigint as database from outbox.meta
