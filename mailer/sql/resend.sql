-- Queue once more what is in doubt and whose mail says `resend`: through the same transport, under the same Message-ID.
-- It acts once a cycle. No row: nothing is to be sent again. Uses delivery_doubt_idx.
with again as (
  select id from outbox.delivery
  where state = 'in_doubt' and in_doubt_policy = 'resend' and not resent
  order by id limit %(limit)s
  for update skip locked
)
update outbox.delivery d
set state = 'queued', resent = true, next_attempt_at = now() + make_interval(secs => %(pause_seconds)s)
from again
where d.id = again.id
returning d.id, d.lane
