-- The schema, before anything in it: the version table of alembic is the first. It may be there already, made by an
-- administrator for an owner who may not create schemas; `create schema if not exists` would be refused even then.
do $$
begin
  if to_regnamespace('outbox') is null then
    create schema outbox;
    comment on schema outbox is 'transactional outbox: made by `outbox migrate up`, dropped by `outbox migrate down`';
  end if;
end
$$;
