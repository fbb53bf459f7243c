-- Events kept aside until they are due. A rolled-back transaction has scheduled nothing, and cancelled nothing.
-- Security definer: a host may schedule and cancel without any right on the table.

create function outbox.schedule(
  type text, aggregate_type text, aggregate_id text, payload json, headers jsonb, due_at timestamptz,
  topic text default null, event_id uuid default null
) returns uuid
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  new_event_id uuid := coalesce(event_id, gen_random_uuid());
begin
  if due_at is null or not isfinite(due_at) then
    raise exception 'expected due_at of event % to be a time, got %', new_event_id, coalesce(due_at::text, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  insert into outbox.scheduled (event_id, due_at, aggregate_type, aggregate_id, type, payload, headers, topic)
  values (new_event_id, due_at, aggregate_type, aggregate_id, type, payload, headers, topic);
  return new_event_id;
end
$$;

create function outbox.schedule(
  type text, aggregate_type text, aggregate_id text, payload text, headers jsonb, due_at timestamptz,
  topic text default null, event_id uuid default null
) returns uuid
  language sql volatile
  return outbox.schedule(type, aggregate_type, aggregate_id, payload::json, headers, due_at, topic, event_id);

create function outbox.schedule(
  type text, aggregate_type text, aggregate_id text, payload jsonb, headers jsonb, due_at timestamptz,
  topic text default null, event_id uuid default null
) returns uuid
  language sql volatile
  return outbox.schedule(type, aggregate_type, aggregate_id, payload::json, headers, due_at, topic, event_id);

-- True: it will not be published. False: it was released already, or there never was one.
create function outbox.cancel(event_id uuid) returns boolean
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from outbox.scheduled as s where s.event_id = cancel.event_id;
  return found;
end
$$;

-- Insert what is due as ordinary events, at most max_rows, and return how many. For the relay.
-- One releaser at a time, and only keys that no host holds: with two, or with a row of a key taken after a later one,
-- the events of a key would change their order. What is skipped comes with the next call; nothing here waits.
create function outbox.release_due(max_rows integer) returns integer
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  released integer;
begin
  if not pg_try_advisory_xact_lock(1869968498, 0) then  -- "outr"
    return 0;
  end if;
  with due as materialized (
    select event_id, aggregate_type, aggregate_id
    from outbox.scheduled
    where due_at <= now()
    order by due_at
    limit max_rows
    for update skip locked
  ), free as materialized (
    select aggregate_type, aggregate_id
    from (select distinct aggregate_type, aggregate_id from due) as keys
    where pg_try_advisory_xact_lock(outbox.lock_key(aggregate_type, aggregate_id))
  ), taken as (
    delete from outbox.scheduled as s
    using due as d
    join free as f using (aggregate_type, aggregate_id)
    where s.event_id = d.event_id
    returning s.*
  )
  insert into outbox.event (event_id, aggregate_type, aggregate_id, type, payload, headers, topic)
  select event_id, aggregate_type, aggregate_id, type, payload, headers, topic
  from taken
  order by due_at, created_at, event_id;
  get diagnostics released = row_count;
  return released;
end
$$;
