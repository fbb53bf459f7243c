-- Transports and their breakers. No row: none was ever used.
select name, breaker, failures, reason, opened_at, retry_at from outbox.transport order by name
