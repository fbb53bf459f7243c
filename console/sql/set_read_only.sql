-- Let this session change nothing, whatever it is asked. Always one row.
select set_config('default_transaction_read_only', 'on', false)
