-- Record what came of deliveries, their attempts, and what follows from it, in one statement.
-- A row that does not come back was taken over: nothing is recorded for it. Uses the primary key.
-- Locks the rows; they are its own claims, so nobody waits for them but the sweeper.
with verdict as (
  select * from unnest(%(ids)s::bigint[], %(tokens)s::uuid[], %(states)s::text[], %(spent)s::int[], %(pauses)s::float8[],
                       %(pins)s::text[], %(reasons)s::text[], %(details)s::text[], %(suppress)s::boolean[])
    as v(id, token, state, spent, pause, pin, reason, detail, suppress)
), closed as (
  update outbox.delivery d
  set state = v.state, attempt = d.attempt + v.spent,
      next_attempt_at = case when v.state = 'queued' then now() + make_interval(secs => v.pause) else d.next_attempt_at end,
      pinned_transport = v.pin,
      content = case when v.state in ('queued', 'in_doubt') then d.content end,
      finished_at = case when v.state in ('sent', 'dead') then now() end,
      claim_token = null, claimed_by = null, claimed_until = null
  from verdict v
  where d.id = v.id and d.claim_token = v.token
  returning d.id, d.event_id, d.event_type, d.aggregate_type, d.aggregate_id, d.mail, d.recipient_key, d.cycle, d.attempt,
            d.state, d.in_doubt_policy, d.resent, v.spent, v.reason, v.detail, v.suppress
), tried as (
  insert into outbox.attempt (delivery_id, cycle, attempt, at, transport, phase, code, enhanced_code, outcome, detail, worker)
  select c.id, c.cycle, c.attempt + 1 - c.spent, now() - make_interval(secs => t.ago), t.transport, t.phase, t.code,
         t.enhanced_code, t.outcome, t.detail, %(worker)s
  from unnest(%(try_ids)s::bigint[], %(try_ago)s::float8[], %(try_transports)s::text[], %(try_phases)s::text[],
              %(try_codes)s::int[], %(try_enhanced)s::text[], %(try_outcomes)s::text[], %(try_details)s::text[])
    with ordinality as t(id, ago, transport, phase, code, enhanced_code, outcome, detail, n)
  join closed c on c.id = t.id
  order by t.n
), buried as (
  -- In doubt, and no policy sends it again: an operator has to decide.
  insert into outbox.dead_letter (stage, reason, detail, event_id, type, aggregate_type, aggregate_id, mail, delivery_id, cycle, attempts)
  select 'deliver', reason, detail, event_id, event_type, aggregate_type, aggregate_id, mail, id, cycle, greatest(attempt, 1)
  from closed
  where state = 'dead' or (state = 'in_doubt' and (in_doubt_policy = 'hold' or resent))
  on conflict (delivery_id, cycle) where stage = 'deliver' do nothing
), suppressed as (
  insert into outbox.suppression (recipient_key, reason, delivery_id)
  select distinct on (recipient_key) recipient_key, reason, id from closed where suppress order by recipient_key, id
  on conflict (recipient_key) do update set undeliverable = true, reason = excluded.reason, delivery_id = excluded.delivery_id
    where not suppression.undeliverable
), welcome as (
  -- An operator's redrive went through: the recipient exists after all. What it unsubscribed from, it did.
  delete from outbox.suppression s using closed c
  where c.state = 'sent' and c.cycle > 1 and s.recipient_key = c.recipient_key and s.unsubscribed_at is null
), exists_after_all as (
  update outbox.suppression s set undeliverable = false, reason = 'unsubscribed' from closed c
  where c.state = 'sent' and c.cycle > 1 and s.recipient_key = c.recipient_key and s.unsubscribed_at is not null
)
select id from closed
