-- Redrives that relay or mailer have still to act upon, by stage. No row: none is under way.
-- Index: dead_letter_pending_idx.
select stage, count(*) as count from outbox.dead_letter where redrive_pending group by stage order by stage
