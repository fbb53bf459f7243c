-- Drop PGMQ and its queues, if we installed it. They hold permits to look for work, never the work itself.
do $$
begin
  if obj_description(to_regnamespace('pgmq'), 'pg_namespace') = 'PGMQ 1.13.0, installed by `outbox migrate up`' then
    drop schema pgmq cascade;
  end if;
end
$$;
