-- Say of a delivery that it came back though a server had accepted it, with what was said as an attempt of its own; hold the
-- recipient's mail when nothing will reach it. One in doubt stays so, for an operator to decide, with that at hand.
-- No row: no such message, or this bounce is known. Index: delivery_message_uuid_key. Locks the delivery.
with known as (
  select d.id, d.state, d.cycle, d.attempt, d.recipient_key
  from outbox.delivery d
  where d.message_uuid = %(message_uuid)s and d.state in ('sent', 'in_doubt', 'bounced')
    and not exists (select from outbox.attempt a where a.delivery_id = d.id and a.cycle = d.cycle and a.phase = 'bounce')
  for update of d
), moved as (
  update outbox.delivery d set state = 'bounced', finished_at = now()
  from known k where d.id = k.id and k.state = 'sent'
), tried as (
  insert into outbox.attempt (delivery_id, cycle, attempt, at, transport, phase, code, enhanced_code, outcome, detail, worker)
  select id, cycle, greatest(attempt, 1), now(), %(reporter)s, 'bounce', %(code)s, %(enhanced)s, %(outcome)s, %(detail)s, null
  from known
), suppressed as (
  insert into outbox.suppression (recipient_key, reason, delivery_id)
  select recipient_key, 'bounced', id from known where %(undeliverable)s
  on conflict (recipient_key) do update set undeliverable = true, reason = excluded.reason, delivery_id = excluded.delivery_id
    where not suppression.undeliverable
)
select id, state from known
