-- Take the lock of a key, as outbox.emit does, until the transaction ends, if no host holds it. Always one row.
select pg_try_advisory_xact_lock(outbox.lock_key(%(aggregate_type)s, %(aggregate_id)s)) as granted
