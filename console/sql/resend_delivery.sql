-- Queue a delivery again that is in doubt, suppressed or dead; audited. Always one row, or an error that says why not.
-- Locks the row.
select outbox.redrive_delivery(%(id)s, %(reason)s) as outcome
