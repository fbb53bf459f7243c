-- How far the log of PostgreSQL has come in bytes, and how many row versions of ordinary tables died since the beginning.
select
  pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint as wal_bytes,
  (select coalesce(sum(n_tup_upd + n_tup_del), 0)::bigint from pg_stat_user_tables) as dead_rows
