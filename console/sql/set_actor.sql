-- Say for this transaction who acts: the audit names him beside the login. Always one row.
select set_config('outbox.actor', %(actor)s, true)
