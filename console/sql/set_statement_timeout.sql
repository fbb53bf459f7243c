-- Let no statement of this session run for longer than %(limit)s. Always one row.
select set_config('statement_timeout', %(limit)s, false)
