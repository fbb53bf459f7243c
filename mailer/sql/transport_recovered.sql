-- Close the breaker of a transport that has taken a message, and forget its failures. No row: it was closed already.
-- Uses the primary key.
update outbox.transport t
set breaker = 'closed', failures = 0, reason = null, opened_at = null, retry_at = null, probe_token = null, changed_at = now()
from (select name, breaker from outbox.transport where name = %(name)s for update) as former
where t.name = former.name and (t.breaker <> 'closed' or t.failures > 0)
returning t.name, t.breaker, former.breaker as was
