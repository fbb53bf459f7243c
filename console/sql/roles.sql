-- The roles of the outbox: which are there, and which the current user has. Always five rows.
select job.name, r.oid is not null as present,
  coalesce(pg_has_role(current_user, r.oid, 'usage'), false) as held,
  (select rolsuper from pg_roles where rolname = current_user) as superuser, current_user as me
from unnest(array['outbox_writer', 'outbox_relay', 'outbox_mailer', 'outbox_operator', 'outbox_reader']) with ordinality as job (name, place)
left join pg_roles as r on r.rolname = job.name
order by job.place
