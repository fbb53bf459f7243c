-- Is a scheduled event due? Always one row. Index: scheduled_due_idx. Takes no locks beyond reading.
select exists (select from outbox.scheduled where due_at <= now()) as due
