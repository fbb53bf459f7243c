-- Say what became of a delivery in doubt (sent, or cancelled), or cancel a queued one; audited. Always one row, or an error.
-- Locks the row.
select outbox.settle_delivery(%(id)s, %(as_state)s, %(reason)s) as outcome
