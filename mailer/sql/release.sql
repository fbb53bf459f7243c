-- Give claims back that nobody was contacted for; no attempt is spent. Without a pause they keep their place in the queue.
-- A row that does not come back was taken over.
-- Uses the primary key.
update outbox.delivery d
set state = 'queued', claim_token = null, claimed_by = null, claimed_until = null,
    next_attempt_at = case when %(pause_seconds)s = 0 then d.next_attempt_at
                           else greatest(d.next_attempt_at, now() + make_interval(secs => %(pause_seconds)s)) end
from unnest(%(ids)s::bigint[], %(tokens)s::uuid[]) as w(id, token)
where d.id = w.id and d.claim_token = w.token and d.state = 'claimed'
returning d.id
