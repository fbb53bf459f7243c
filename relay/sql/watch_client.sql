-- Have the server look every second whether the client is still there, also while a statement waits. Always one row.
-- Not every operating system can: then it is refused, and keepalives have to do.
select set_config('client_connection_check_interval', '1s', false)
