-- Who this database says it is, and who the server is. No row: the migration did not end.
select m.install_id::text as install, m.generation as gen, m.sysid, m.shards, c.system_identifier as server_sysid,
  coalesce(m.database_oid <> (select oid from pg_database where datname = current_database()), false) as copied,
  (select bool_or(bootstrapped) from outbox.shard) as bootstrapped
from outbox.meta as m, pg_control_system() as c
