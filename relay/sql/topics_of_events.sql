-- The kinds of events there are, and the topics that they name. No rows: there are no events.
-- Reads the whole table: for a command, not for the publish path. Takes no locks beyond reading.
select distinct aggregate_type, type, topic from outbox.event
