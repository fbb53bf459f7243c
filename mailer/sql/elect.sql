-- Become the sweeper, for as long as this connection lives. False: another one is.
select pg_try_advisory_lock(hashtextextended('outbox.mailer.sweep', 0)) as elected
