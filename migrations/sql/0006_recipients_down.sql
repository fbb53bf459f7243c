-- A bounce that is known is forgotten: the delivery is what it was before, accepted by a server.
drop function outbox.erase_recipient(bytea, bytea[], text);
drop function outbox.unsuppress(bytea, text);
drop function outbox.suppress(bytea, text);
alter table outbox.transport drop column free_at;
update outbox.delivery set state = 'sent' where state = 'bounced';
alter table outbox.delivery drop constraint delivery_state_check;
alter table outbox.delivery add constraint delivery_state_check check (
  state in ('queued', 'claimed', 'sending', 'sent', 'in_doubt', 'dead', 'suppressed', 'expired', 'cancelled'));
alter table outbox.delivery drop column suppressible;
delete from outbox.suppression where not undeliverable;
alter table outbox.suppression drop constraint suppression_check, drop column unsubscribed_at, drop column undeliverable;

-- Send a delivery again, by its own id; the only way for one without a dead letter, as a suppressed one.
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
  outcome := outbox.requeue_delivery(id, array['dead', 'expired', 'in_doubt', 'suppressed']);
  perform outbox.record_action('redrive', 'delivery ' || id, reason);
  return outcome;
end
$$;
