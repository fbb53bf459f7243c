-- Is the login a member of both roles that a resync takes: of the relay's, and of an operator's? Always one row. Takes no locks.
select
  has_table_privilege('outbox.shard', 'update')
  and has_function_privilege('outbox.record_action(text, text, text, jsonb)', 'execute') as permitted
