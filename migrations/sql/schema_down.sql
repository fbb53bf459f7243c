-- The version table, and the schema if nothing else is in it. Locks: the version table, exclusively.
drop table outbox.alembic_version;
drop schema outbox;
