-- A host that is nothing but psql:  psql "$OUTBOX_DATABASE_URL" -f examples/plain.sql
-- It changes an account and tells of it. Run it twice, and look: the events are there once for each commit.

create schema if not exists app;
create table if not exists app.customer (id int primary key, email text not null, state text not null default 'new');
insert into app.customer (id, email) values (42, 'ada@example.com') on conflict do nothing;

-- A change and its event, together. The update locks the row, so events about customer 42 come in the order of the changes.
begin;
update app.customer set state = 'locked' where id = 42;
insert into outbox.event (aggregate_type, aggregate_id, type, payload)
select 'user', id::text, 'user.locked', json_build_object('email', email, 'reason', 'three wrong passwords')
from app.customer
where id = 42;
commit;

-- A change of mind: neither the change nor its event has ever happened.
begin;
update app.customer set state = 'deleted' where id = 42;
select outbox.emit('user.deleted', 'user', '42', '{"email": "ada@example.com"}');
rollback;

-- In one call, where no row is locked: emit takes a lock on the key, and returns the event_id.
select outbox.emit('user.unlocked', 'user', '42', '{"email": "ada@example.com"}', '{"tenant": "7"}');
