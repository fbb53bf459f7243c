-- Count failures of a transport; open its breaker at the threshold, at once when told so, or when its probe failed.
-- It stays open for a pause that doubles with each failure beyond, up to a cap. Returns the row after it.
insert into outbox.transport as t (name, breaker, failures, reason, opened_at, retry_at)
values (%(name)s, case when %(at_once)s or %(failures)s >= %(threshold)s then 'open' else 'closed' end, %(failures)s, %(reason)s,
        case when %(at_once)s or %(failures)s >= %(threshold)s then now() end,
        case when %(at_once)s or %(failures)s >= %(threshold)s then now() + make_interval(secs => %(pause_seconds)s) end)
on conflict (name) do update
set failures = t.failures + %(failures)s,
    reason = excluded.reason,
    breaker = case when t.breaker <> 'closed' or %(at_once)s or t.failures + %(failures)s >= %(threshold)s then 'open' else 'closed' end,
    opened_at = case when t.breaker <> 'closed' then coalesce(t.opened_at, now())
                     when %(at_once)s or t.failures + %(failures)s >= %(threshold)s then now() end,
    -- A straggler's failure must not push an open breaker's next probe further and further away.
    retry_at = case when t.breaker = 'open' and t.retry_at > now() then t.retry_at
                    when t.breaker <> 'closed' or %(at_once)s or t.failures + %(failures)s >= %(threshold)s
                    then now() + make_interval(secs => least(%(pause_cap_seconds)s,
                         %(pause_seconds)s * 2 ^ least(20, greatest(0, t.failures + %(failures)s - %(threshold)s)))) end,
    probe_token = null, changed_at = now()
returning name, breaker, breaker as was, reason,
          coalesce(extract(epoch from retry_at - now()), 0)::float8 as retry_in_seconds
