-- Take recipient, payload and content from deliveries that were settled long ago, except where an operator has yet to decide.
-- No row: nothing is old enough. Uses delivery_finished_idx. Locks what it changes; rows that others hold wait for the next round.
with old as (
  select d.id from outbox.delivery d
  where d.finished_at < now() - make_interval(days => %(days)s) and d.recipient is not null
    and d.state in ('sent', 'dead', 'suppressed', 'expired', 'cancelled', 'bounced')
    and not exists (select from outbox.dead_letter l
                    where l.stage = 'deliver' and l.delivery_id = d.id and l.cycle = d.cycle and l.resolved_at is null)
  order by d.finished_at limit %(limit)s
  for update of d skip locked
)
update outbox.delivery d set recipient = null, payload = null, content = null from old where d.id = old.id returning d.id
