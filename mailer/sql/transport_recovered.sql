-- Close the breaker of a transport that has taken a message, and forget its failures. No row: it was closed already.
-- Uses the primary key.
update outbox.transport
set breaker = 'closed', failures = 0, reason = null, opened_at = null, retry_at = null, probe_token = null, changed_at = now()
where name = %(name)s and (breaker <> 'closed' or failures > 0)
returning name
