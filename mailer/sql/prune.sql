-- Remove deliveries that were settled very long ago, with their attempts; none that has a dead letter, whose history it is.
-- No row: nothing is old enough. Uses delivery_finished_idx.
with old as (
  select d.id from outbox.delivery d
  where d.finished_at < now() - make_interval(days => %(days)s)
    and d.state in ('sent', 'dead', 'suppressed', 'expired', 'cancelled', 'bounced')
    and not exists (select from outbox.dead_letter l where l.delivery_id = d.id)
  order by d.finished_at limit %(limit)s
  for update of d skip locked
)
delete from outbox.delivery d using old where d.id = old.id returning d.id
