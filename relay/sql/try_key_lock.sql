-- Take the lock of a key, as outbox.emit does, until the transaction ends, if no host holds it. Always one row.
select pg_try_advisory_xact_lock(hashtextextended(%(aggregate_type)s || chr(1) || %(aggregate_id)s, 0)) as granted
