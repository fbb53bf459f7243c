-- Which migration is the newest that the database has? One row; no table or no right to it is an error of PostgreSQL's.
-- Takes no locks beyond reading.
select version_num as revision from outbox.alembic_version
