-- Redrive and discard: each one transaction, audited, with a reason, and once only.
-- Errors a program may tell apart: OB001 there is no such row, OB002 it is resolved already (or not in a state to act on),
-- OB003 it waits behind another, OB004 what it needs is gone. Security definer: an operator may call these and change
-- nothing else.

-- The row, locked until the transaction ends, if it may still be resolved. `no key`: a relay that puts an event behind it
-- need not wait.
create function outbox.take_dead_letter(id bigint, reason text) returns outbox.dead_letter
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  letter outbox.dead_letter;
begin
  if coalesce(btrim(reason), '') = '' then
    raise exception 'expected a reason, got none' using errcode = 'invalid_parameter_value', hint = 'it is kept with the row, for whoever asks later';
  end if;
  select * into letter from outbox.dead_letter as d where d.id = take_dead_letter.id for no key update;
  if not found then
    raise exception 'expected a dead letter, got none with id %', id using errcode = 'OB001';
  elsif letter.resolved_at is not null then
    raise exception 'dead letter % was already % at % by %', id, letter.resolution, letter.resolved_at, letter.resolved_by
      using errcode = 'OB002';
  end if;
  return letter;
end
$$;

create function outbox.resolve_dead_letter(letter outbox.dead_letter, resolution text, reason text, pending boolean, new_event_id uuid)
  returns void
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
  update outbox.dead_letter as d
  set resolved_at = now(), resolution = resolve_dead_letter.resolution, resolved_by = outbox.actor(),
    resolution_reason = reason, redrive_pending = pending, redriven_event_id = new_event_id
  where d.id = letter.id;
  perform outbox.record_action(
    case resolution when 'redriven' then 'redrive' else 'discard' end, 'dead_letter ' || letter.id, reason,
    jsonb_build_object('stage', letter.stage, 'event_id', letter.event_id)
  );
end
$$;

-- Put a delivery back into the queue for another cycle, with as much time as it had in the one before.
create function outbox.requeue_delivery(delivery_id bigint, from_states text[]) returns text
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  owed outbox.delivery;
begin
  select * into owed from outbox.delivery as d where d.id = delivery_id for update;
  if not found then
    raise exception 'expected a delivery, got none with id %', delivery_id using errcode = 'OB001';
  elsif owed.state <> all (from_states) then
    raise exception 'expected delivery % to be %, got %', delivery_id, array_to_string(from_states, ' or '), owed.state
      using errcode = 'OB002';
  elsif owed.recipient is null or (owed.payload is null and owed.content is null) then
    raise exception 'delivery % cannot be sent again: its recipient or its content was erased', delivery_id using errcode = 'OB004';
  end if;
  update outbox.delivery as d
  set state = 'queued', cycle = owed.cycle + 1, attempt = 0, resent = false, next_attempt_at = now(), finished_at = null,
    expires_at = now() + (
      owed.expires_at - coalesce(
        (select max(l.resolved_at) from outbox.dead_letter as l where l.delivery_id = owed.id and l.cycle < owed.cycle), owed.created_at
      )
    ),
    -- What may have arrived is sent again as the same bytes, through the same transport: there, both may be recognised.
    content = case when owed.state = 'in_doubt' or owed.payload is null then owed.content end,
    template_version = case when owed.state = 'in_doubt' or owed.payload is null then owed.template_version end,
    pinned_transport = case when owed.state = 'in_doubt' then owed.pinned_transport end
  where d.id = owed.id;
  return format('delivery %s is queued, cycle %s', owed.id, owed.cycle + 1);
end
$$;

-- Make what a dead letter keeps pending again, and say what happens to it.
create function outbox.redrive(id bigint, reason text) returns text
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  letter outbox.dead_letter := outbox.take_dead_letter(id, reason);
  new_event_id uuid;
  outcome text;
begin
  case
    when letter.behind is not null then
      raise exception 'dead letter % waits behind % of the same key, which is to be resolved first', id, letter.behind
        using errcode = 'OB003', hint = format('select outbox.redrive(%s, ''…'') or outbox.discard(%s, ''…'')', letter.behind, letter.behind);
    when letter.parks then
      outcome := 'the relay publishes it, and then what waits behind it';
    when letter.stage = 'publish' then
      new_event_id := outbox.emit(
        letter.type, letter.aggregate_type, letter.aggregate_id, letter.payload,
        coalesce(letter.headers, '{}') || jsonb_build_object('redriven-from', letter.event_id),
        -- What the host wrote, not where the route led then: the route may have been put right.
        (select e.topic from outbox.event as e where e.id = letter.event_row_id)
      );
      outcome := format('event %s is inserted', new_event_id);
    when letter.stage = 'consume' then
      outcome := 'the mailer plans it again';
    else
      outcome := outbox.requeue_delivery(letter.delivery_id, array['dead', 'expired', 'in_doubt']);
  end case;
  perform outbox.resolve_dead_letter(letter, 'redriven', reason, letter.parks or letter.stage = 'consume', new_event_id);
  return outcome;
end
$$;

-- Give up what a dead letter keeps, for good. Events that wait behind it are published; a delivery in doubt is cancelled.
create function outbox.discard(id bigint, reason text) returns text
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  letter outbox.dead_letter := outbox.take_dead_letter(id, reason);
begin
  if letter.stage = 'deliver' then
    update outbox.delivery as d set state = 'cancelled', finished_at = now() where d.id = letter.delivery_id and d.state = 'in_doubt';
  end if;
  perform outbox.resolve_dead_letter(letter, 'discarded', reason, letter.parks, null);
  return case when letter.parks then 'discarded; the relay publishes what waits behind it' else 'discarded' end;
end
$$;

-- The same for many, in the order of their ids: one that cannot be is left as it is and says why, the others go on.
create function outbox.redrive_many(ids bigint[], reason text)
  returns table (id bigint, done boolean, outcome text)
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
  for id in select distinct given.id from unnest(ids) as given (id) order by given.id loop
    begin
      outcome := outbox.redrive(id, reason);
      done := true;
    exception when sqlstate 'OB001' or sqlstate 'OB002' or sqlstate 'OB003' or sqlstate 'OB004' then
      outcome := sqlerrm;
      done := false;
    end;
    return next;
  end loop;
end
$$;

create function outbox.discard_many(ids bigint[], reason text)
  returns table (id bigint, done boolean, outcome text)
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
  for id in select distinct given.id from unnest(ids) as given (id) order by given.id loop
    begin
      outcome := outbox.discard(id, reason);
      done := true;
    exception when sqlstate 'OB001' or sqlstate 'OB002' or sqlstate 'OB003' or sqlstate 'OB004' then
      outcome := sqlerrm;
      done := false;
    end;
    return next;
  end loop;
end
$$;

-- Send a delivery again, by its own id; the only way for one without a dead letter, as a suppressed one.
create function outbox.redrive_delivery(id bigint, reason text) returns text
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

-- Say of a delivery in doubt that it arrived (as `sent`), or of one that is not sent that it shall not be (as `cancelled`).
create function outbox.settle_delivery(id bigint, as_state text, reason text) returns text
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  former text;
  letter outbox.dead_letter;
begin
  if coalesce(btrim(reason), '') = '' then
    raise exception 'expected a reason, got none' using errcode = 'invalid_parameter_value';
  end if;
  -- The dead letter first, as everywhere: two operators at one delivery then wait for each other instead of a deadlock.
  select * into letter from outbox.dead_letter as d
  where d.delivery_id = settle_delivery.id and d.resolved_at is null for no key update;
  select state into former from outbox.delivery as d where d.id = settle_delivery.id for update;
  if not found then
    raise exception 'expected a delivery, got none with id %', id using errcode = 'OB001';
  elsif (former, as_state) not in (('in_doubt', 'sent'), ('in_doubt', 'cancelled'), ('queued', 'cancelled')) then
    raise exception 'expected delivery % to be in doubt, or queued and to be cancelled; got % and %', id, former, as_state
      using errcode = 'OB002';
  end if;
  update outbox.delivery as d set state = as_state, finished_at = now() where d.id = settle_delivery.id;
  if letter.id is not null then
    perform outbox.resolve_dead_letter(letter, 'discarded', reason, false, null);
  end if;
  perform outbox.record_action('settle', 'delivery ' || id, reason, jsonb_build_object('from', former, 'to', as_state));
  return format('delivery %s is %s', id, as_state);
end
$$;
