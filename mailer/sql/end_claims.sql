-- Put claims back that ran out while nobody had been contacted. No row: none ran out. Uses delivery_claimed_idx.
-- A row that its worker is moving at this moment is skipped; the next tick sees what became of it.
with over as (
  select id from outbox.delivery
  where state = 'claimed' and claimed_until < now()
  order by claimed_until limit %(limit)s
  for update skip locked
)
update outbox.delivery d
set state = 'queued', claim_token = null, claimed_by = null, claimed_until = null
from over
where d.id = over.id
returning d.id, d.lane
