-- Whom no mail goes to, and why; what a recipient's erasure takes; what comes back after it was accepted.

-- 0007 validates the checks, in a transaction of its own.

-- One row a recipient: nothing reaches it (any mail is held), or it unsubscribed (suppressible mails are held), or both.
alter table outbox.suppression
  add column undeliverable boolean not null default true,
  add column unsubscribed_at timestamptz,
  add constraint suppression_check check (undeliverable or unsubscribed_at is not null) not valid;

alter table outbox.delivery add column suppressible boolean not null default false;   -- an unsubscribed recipient gets no such mail
-- bounced: a server took it, and said later that it did not arrive   <- a delivery status notification | a provider's webhook
-- squawk-ignore ban-drop-constraint
alter table outbox.delivery drop constraint delivery_state_check;   -- replaced below by one that allows a word more
alter table outbox.delivery add constraint delivery_state_check check (
  state in ('queued', 'claimed', 'sending', 'sent', 'in_doubt', 'dead', 'suppressed', 'expired', 'cancelled', 'bounced')) not valid;

-- When the next message may go, for a transport with max_per_second: what was handed out is behind it, whoever took it.
alter table outbox.transport add column free_at timestamptz;

-- Hold all mail to a recipient.
create function outbox.suppress(recipient_key bytea, reason text) returns text
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
  if coalesce(btrim(reason), '') = '' then
    raise exception 'expected a reason, got none' using errcode = 'invalid_parameter_value';
  end if;
  insert into outbox.suppression (recipient_key, reason) values (recipient_key, reason)
  on conflict on constraint suppression_pkey do update set undeliverable = true, reason = excluded.reason;
  perform outbox.record_action('suppress', 'recipient ' || encode(recipient_key, 'hex'), reason);
  return 'all mail to it is held';
end
$$;

-- Let mail through again, also to a recipient that unsubscribed: it may have asked to be written to again.
create function outbox.unsuppress(recipient_key bytea, reason text) returns text
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
  if coalesce(btrim(reason), '') = '' then
    raise exception 'expected a reason, got none' using errcode = 'invalid_parameter_value';
  end if;
  delete from outbox.suppression as s where s.recipient_key = recipient_key;
  if not found then
    raise exception 'expected a suppressed recipient, got one whose mail is not held' using errcode = 'OB001';
  end if;
  perform outbox.record_action('unsuppress', 'recipient ' || encode(recipient_key, 'hex'), reason);
  return 'mail to it is sent again';
end
$$;

-- Take address, payload and content from everything the mailer keeps of a recipient; what is not sent yet never is. What a
-- worker holds at this moment is left, and counted: it is settled in minutes. Needles are the address as records may hold it.
create function outbox.erase_recipient(
  recipient_key bytea, needles bytea[], reason text, out deliveries integer, out cancelled integer, out dead_letters integer, out held integer
)
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  letter bigint;
  events uuid[];
begin
  if coalesce(btrim(reason), '') = '' then
    raise exception 'expected a reason, got none' using errcode = 'invalid_parameter_value';
  end if;
  select coalesce(array_agg(d.event_id), '{}') into events from outbox.delivery as d where d.recipient_key = recipient_key;
  -- The dead letters first, as everywhere. A record may name the recipient though no delivery came of it.
  dead_letters := 0;
  for letter in
    select l.id from outbox.dead_letter as l
    where l.delivery_id in (select d.id from outbox.delivery as d where d.recipient_key = recipient_key) and l.resolved_at is null
      or l.stage = 'consume' and l.record_value is not null
        and (l.event_id = any (events) or exists (select from unnest(needles) as n(needle) where position(n.needle in l.record_value) > 0))
    order by l.id
  loop
    if exists (select from outbox.dead_letter as l where l.id = letter and l.resolved_at is null) then
      perform outbox.discard(letter, reason);
    end if;
    update outbox.dead_letter as l set record_value = null, record_headers = null, redrive_pending = false
    where l.id = letter and l.stage = 'consume';
    dead_letters := dead_letters + 1;
  end loop;
  with stopped as (
    update outbox.delivery as d set state = 'cancelled', finished_at = now()
    where d.recipient_key = recipient_key and d.state in ('queued', 'in_doubt')
    returning d.id
  )
  select count(*) into cancelled from stopped;
  with erased as (
    update outbox.delivery as d set recipient = null, payload = null, content = null
    where d.recipient_key = recipient_key and d.state not in ('claimed', 'sending')
      and (d.recipient is not null or d.payload is not null or d.content is not null)
    returning d.id
  )
  select count(*) into deliveries from erased;
  select count(*) into held from outbox.delivery as d where d.recipient_key = recipient_key and d.state in ('claimed', 'sending');
  perform outbox.record_action(
    'erase', 'recipient ' || encode(recipient_key, 'hex'), reason,
    jsonb_build_object('deliveries', deliveries, 'cancelled', cancelled, 'dead_letters', dead_letters, 'held', held)
  );
end
$$;

-- Send a delivery again, by its own id; the only way for one without a dead letter, as a suppressed or a bounced one.
create or replace function outbox.redrive_delivery(id bigint, reason text) returns text
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  letter_id bigint;
  outcome text;
begin
  if coalesce(btrim(reason), '') = '' then
    raise exception 'expected a reason, got none' using errcode = 'invalid_parameter_value';
  end if;
  select d.id into letter_id from outbox.dead_letter as d where d.delivery_id = redrive_delivery.id and d.resolved_at is null;
  if found then
    return outbox.redrive(letter_id, reason);
  end if;
  outcome := outbox.requeue_delivery(id, array['dead', 'expired', 'in_doubt', 'suppressed', 'bounced']);
  perform outbox.record_action('redrive', 'delivery ' || id, reason);
  return outcome;
end
$$;

-- PostgreSQL lets everybody call a new function; 0006_recipients_grants.sql says who may.
revoke all on function outbox.suppress(bytea, text), outbox.unsuppress(bytea, text), outbox.erase_recipient(bytea, bytea[], text)
  from public;
