-- Dead letters of the publish stage that nobody has resolved, by reason. No rows: none. Index: dead_letter_unresolved_idx.
-- Takes no locks beyond reading.
select reason, count(*) as count from outbox.dead_letter where stage = 'publish' and resolved_at is null group by reason
