-- Forget permits that no worker took in time: the broker may have lost them. Uses no index: the table has a handful of rows.
delete from outbox.permit where issued_at < now() - make_interval(secs => %(age_seconds)s) returning id
