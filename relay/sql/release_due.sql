-- Turn scheduled events that are due into ordinary ones. Always one row: how many.
-- Index: scheduled_due_idx. Locks the rows that it moves; skips what another relay is moving.
select outbox.release_due(%(rows)s) as released
