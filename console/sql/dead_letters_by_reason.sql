-- Unresolved dead letters by stage and reason, of the first %(most)s. No row: none is unresolved.
-- Index: dead_letter_unresolved_idx.
select stage, reason, count(*) as count, min(created_at) as oldest_at
from (
  select stage, reason, created_at from outbox.dead_letter where resolved_at is null limit %(most)s
) as unresolved
group by stage, reason
order by count(*) desc, stage, reason
