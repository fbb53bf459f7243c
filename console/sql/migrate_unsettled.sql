-- What is still owed to somebody: letters, deliveries and scheduled events. Always one row.
-- Index: dead_letter_unresolved_idx, delivery_due_idx, delivery_claimed_idx, delivery_doubt_idx.
select
  (select count(*) from outbox.dead_letter where resolved_at is null) as dead_letters,
  (select count(*) from outbox.delivery where state = 'queued')
    + (select count(*) from outbox.delivery where state in ('claimed', 'sending'))
    + (select count(*) from outbox.delivery where state = 'in_doubt') as deliveries,
  (select count(*) from outbox.scheduled) as scheduled
