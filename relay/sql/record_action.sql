-- Note in the audit what an operator does to a shard. Always one row. Needs the rights of an operator.
-- Takes no locks beyond those of an insert into outbox.audit.
select outbox.record_action(%(action)s, %(target)s, %(reason)s, %(detail)s::jsonb)
