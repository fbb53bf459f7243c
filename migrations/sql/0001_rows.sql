-- The row that names this installation and the cluster that its history belongs to, and its first shard.
insert into outbox.meta (sysid) select system_identifier from pg_control_system();
insert into outbox.shard (shard) values (0);
