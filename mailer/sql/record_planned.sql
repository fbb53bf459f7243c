-- Say that a kept record was planned again, whatever came of it. Uses the primary key, under the lock of pending_records.
update outbox.dead_letter set redrive_pending = false where id = any(%(ids)s::bigint[])
