-- What the mailer may do with the queues that we installed: all that kombu does, on those that its calls create later too.
do $$
declare
  owner name := (select nspowner::regrole from pg_namespace where nspname = 'pgmq');
begin
  if to_regrole('outbox_mailer') is null
    or obj_description(to_regnamespace('pgmq'), 'pg_namespace') is distinct from 'PGMQ 1.13.0, installed by `outbox migrate up`'
  then
    return;
  end if;
  grant usage on schema pgmq to outbox_mailer;
  grant select, insert, update, delete on all tables in schema pgmq to outbox_mailer;
  grant select on all sequences in schema pgmq to outbox_mailer;   -- the length of a queue is asked for at each declaration
  grant execute on function pgmq.create(text), pgmq.enable_notify_insert(text, integer) to outbox_mailer;
  execute format('alter default privileges for role %s in schema pgmq grant select, insert, update, delete on tables to outbox_mailer', owner);
  execute format('alter default privileges for role %s in schema pgmq grant select on sequences to outbox_mailer', owner);
end
$$;
