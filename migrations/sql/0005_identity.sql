-- The database that this history belongs to: a copy made within its cluster has the same sysid and install_id, and would
-- fence the original's relay, or mix its positions with the original's. Null: not known, and not compared.
alter table outbox.meta add column database_oid oid;
update outbox.meta set database_oid = (select oid from pg_database where datname = current_database());
