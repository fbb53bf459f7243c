-- The host's own table, and a count of the statements that insert events; whatever a test before left is gone.
set local lock_timeout = '5s';
drop schema if exists app cascade;
truncate outbox.event, outbox.scheduled;

create schema app;
create table app.account (id int primary key, state text not null);
insert into app.account values (42, 'new');

create table app.statement (tx text);
create function app.count_statement() returns trigger language plpgsql security definer as $$
begin
  insert into app.statement values (pg_current_xact_id()::text);
  return null;
end $$;
create trigger count_statement after insert on outbox.event for each statement execute function app.count_statement();
