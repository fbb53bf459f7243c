-- Become the one that probes an open transport, whose time has come, or whose prober was lost. No row: somebody else is.
-- Uses the primary key.
update outbox.transport
set breaker = 'half_open', probe_token = gen_random_uuid(), changed_at = now(),
    retry_at = now() + make_interval(secs => %(lease_seconds)s)
where name = %(name)s and breaker <> 'closed' and retry_at <= now()
returning probe_token
