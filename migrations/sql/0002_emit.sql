-- Insert one event and return its id, after taking the lock of its key until the transaction ends (rule 7): the ids of
-- a key are then given in the order in which its transactions commit. For hosts that do not lock the aggregate's row.
-- Runs with the rights of the caller, who needs those of outbox_writer. A key that is null or empty is refused by the table.

create function outbox.emit(
  type text, aggregate_type text, aggregate_id text, payload json,
  headers jsonb default null, topic text default null, event_id uuid default null
) returns uuid
  language plpgsql volatile as $$
#variable_conflict use_variable
declare
  new_event_id uuid := coalesce(event_id, gen_random_uuid());
begin
  perform pg_advisory_xact_lock(outbox.lock_key(aggregate_type, aggregate_id));
  insert into outbox.event (event_id, aggregate_type, aggregate_id, type, payload, headers, topic)
  values (new_event_id, aggregate_type, aggregate_id, type, payload, headers, topic);
  return new_event_id;
end
$$;

-- A literal or a driver's string is `text`, jsonb_build_object gives `jsonb`; neither becomes json by itself.
create function outbox.emit(
  type text, aggregate_type text, aggregate_id text, payload text,
  headers jsonb default null, topic text default null, event_id uuid default null
) returns uuid
  language sql volatile
  return outbox.emit(type, aggregate_type, aggregate_id, payload::json, headers, topic, event_id);

create function outbox.emit(
  type text, aggregate_type text, aggregate_id text, payload jsonb,
  headers jsonb default null, topic text default null, event_id uuid default null
) returns uuid
  language sql volatile
  return outbox.emit(type, aggregate_type, aggregate_id, payload::json, headers, topic, event_id);
