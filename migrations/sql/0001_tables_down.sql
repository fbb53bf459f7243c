-- Drop every table that 0001_tables.sql made. The version table of alembic, and with it the schema, stays.
-- Locks: each table, exclusively; whoever still inserts fails.
drop table outbox.audit;
drop table outbox.dead_letter;
drop table outbox.permit;
drop table outbox.suppression;
drop table outbox.transport;
drop table outbox.attempt;
drop table outbox.delivery;
drop table outbox.scheduled;
drop table outbox.batch;
drop table outbox.shard;
drop table outbox.event;
drop table outbox.meta;
