-- Keep hosts from inserting until this transaction ends, and be sure that none is in the middle of it; at once, or an error.
-- With it no transaction in progress can hold an event of the key that is older than what is about to be inserted again.
-- Locks outbox.event against writers, for the milliseconds that a release takes (rule 13: it never queues).
lock table outbox.event in share row exclusive mode nowait
