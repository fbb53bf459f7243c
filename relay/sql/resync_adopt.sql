-- Accept cluster and database as where this history lives, under the given name. Always one row. Locks the row of outbox.meta.
select outbox.adopt_history(%(install)s::uuid, %(reason)s)
