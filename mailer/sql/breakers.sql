-- Which transports are not plainly well, and when may each be tried? No row: all are. Reads a handful of rows.
select name, breaker, failures, probe_token,
       coalesce(greatest(0, extract(epoch from retry_at - now())), 0)::float8 as retry_in_seconds
from outbox.transport
where breaker <> 'closed' or failures > 0
