-- Claim what is due, most urgent first: by lane, in the order given (others follow by name), then by priority, then by age.
-- With before_…, only what is more urgent than that. Each row is claimed under a token of its own; rows that others hold are
-- skipped. Walks the lanes and their priorities by delivery_due_idx, one step each: neither a long lane nor what is due later
-- is read over.
-- What is over age, or goes to a suppressed recipient, settles instead: those rows come back without a token. A pinned one
-- may have been accepted before: when its time is over it is in doubt, not dead.
-- A redrive is an operator's decision to try all the same, so suppression binds the first cycle only; who unsubscribed gets
-- what is not suppressible all the same.
-- No row: nothing is due. Uses delivery_due_idx. Locks the rows it returns.
with recursive urgency as (
  (select d.lane, d.priority from outbox.delivery d where d.state = 'queued' order by d.lane, d.priority limit 1)
  union all
  select next.lane, next.priority
  from urgency u cross join lateral (
    select d.lane, d.priority from outbox.delivery d
    where d.state = 'queued' and (d.lane, d.priority) > (u.lane, u.priority)
    order by d.lane, d.priority limit 1) as next
), ranked as (
  select lane, priority, coalesce(array_position(%(lanes)s::text[], lane), 32767) as rank from urgency
), due as (
  select picked.*
  from (
    select * from ranked
    where %(before_lane)s::text is null
       or (rank, lane, priority) < (coalesce(array_position(%(lanes)s::text[], %(before_lane)s::text), 32767),
                                    %(before_lane)s::text, %(before_priority)s::int)
    order by rank, lane, priority
  ) as ranks cross join lateral (
    select d.id, ranks.rank,
           d.expires_at <= now() as over,
           d.expires_at <= now() and d.pinned_transport is not null as lapsed,
           d.cycle = 1 and exists (
             select from outbox.suppression s
             where s.recipient_key = d.recipient_key and (s.undeliverable or d.suppressible)
           ) as suppressed
    from outbox.delivery d
    where d.state = 'queued' and d.lane = ranks.lane and d.priority = ranks.priority and d.next_attempt_at <= now()
    order by d.next_attempt_at, d.id
    limit %(limit)s
    for update of d skip locked
  ) as picked
  limit %(limit)s
), claimed as (
  update outbox.delivery d
  set state = case when due.lapsed then 'in_doubt' when due.over and d.attempt > 0 then 'dead' when due.over then 'expired'
                   when due.suppressed then 'suppressed' else 'claimed' end,
      claim_token = case when not due.over and not due.suppressed then gen_random_uuid() end,
      claimed_by = case when not due.over and not due.suppressed then %(worker)s end,
      claimed_until = case when not due.over and not due.suppressed then now() + make_interval(secs => %(lease_seconds)s) end,
      content = case when due.lapsed or not due.over and not due.suppressed then d.content end,
      resent = d.resent or due.lapsed,
      finished_at = case when not due.lapsed and (due.over or due.suppressed) then now() end
  from due
  where d.id = due.id
  returning d.*, due.rank
), buried as (
  insert into outbox.dead_letter (stage, reason, detail, event_id, type, aggregate_type, aggregate_id, mail, delivery_id, cycle, attempts)
  select 'deliver', case state when 'dead' then 'age_spent' else state end,
         case state when 'dead' then 'its time was over before it could be tried again'
                    when 'in_doubt' then format('its time was over before %%s was asked again: perhaps it was accepted', pinned_transport)
                    when 'expired' then 'its time was over before it was tried'
                    else 'its recipient is on the suppression list' end,
         event_id, event_type, aggregate_type, aggregate_id, mail, id, cycle, attempt
  from claimed where state in ('dead', 'expired', 'in_doubt')
  on conflict (delivery_id, cycle) where stage = 'deliver' do nothing
)
select id, state, claim_token, message_uuid, event_id, event_type, aggregate_type, aggregate_id, mail, lane, priority, recipient,
       recipient_key, locale,
       payload::text as payload, attempt, in_doubt_policy, resent, pinned_transport, content, now() as claimed_at,
       extract(epoch from expires_at - now())::float8 as left_seconds
from claimed
order by rank, lane, priority, next_attempt_at, id
