-- Say of deliveries whose claim ran out while they were being sent that they are in doubt: perhaps they were accepted.
-- The transport that they were given to stays pinned. No row: none ran out. Uses delivery_claimed_idx.
with over as (
  select id, claimed_by from outbox.delivery
  where state = 'sending' and claimed_until < now()
  order by claimed_until limit %(limit)s
  for update skip locked
), doubtful as (
  update outbox.delivery d
  set state = 'in_doubt', attempt = d.attempt + 1, claim_token = null, claimed_by = null, claimed_until = null
  from over
  where d.id = over.id
  returning d.id, d.event_id, d.event_type, d.aggregate_type, d.aggregate_id, d.mail, d.cycle, d.attempt, d.pinned_transport,
            d.in_doubt_policy, d.resent, over.claimed_by
), tried as (
  insert into outbox.attempt (delivery_id, cycle, attempt, at, transport, phase, outcome, detail, worker)
  select id, cycle, attempt, now(), coalesce(pinned_transport, 'unknown'), 'unknown', 'in_doubt',
         'the worker was lost while it was sending', claimed_by
  from doubtful
), buried as (
  insert into outbox.dead_letter (stage, reason, detail, event_id, type, aggregate_type, aggregate_id, mail, delivery_id, cycle, attempts)
  select 'deliver', 'in_doubt', 'the worker was lost while it was sending: perhaps the server has accepted it',
         event_id, event_type, aggregate_type, aggregate_id, mail, id, cycle, attempt
  from doubtful where in_doubt_policy = 'hold' or resent
  on conflict (delivery_id, cycle) where stage = 'deliver' do nothing
)
select id, in_doubt_policy, resent from doubtful
