-- Events kept aside: how many, how many of them are overdue, and when the next is due. Always one row.
-- Index: scheduled_due_idx.
select count(*) as waiting, count(*) filter (where due_at <= now()) as overdue, min(due_at) as next_at
from outbox.scheduled
