-- How much is due in each lane, counted up to a limit? No row: nothing is queued. Takes no locks.
-- Walks the lanes by delivery_due_idx, one step a lane, so that a long lane does not hide the others.
with recursive lanes as (
  (select d.lane from outbox.delivery d where d.state = 'queued' order by d.lane limit 1)
  union all
  select (select d.lane from outbox.delivery d where d.state = 'queued' and d.lane > lanes.lane order by d.lane limit 1)
  from lanes where lanes.lane is not null
)
select lanes.lane, (select count(*) from (
    select from outbox.delivery d
    where d.state = 'queued' and d.lane = lanes.lane and d.next_attempt_at <= now()
    limit %(limit)s) as counted)::int as due
from lanes where lanes.lane is not null
