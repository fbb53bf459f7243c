-- For hosts that cannot be changed: a row trigger emits an event for each insert, update and delete of a table.

-- Emit what happened to one row. Arguments of the trigger: aggregate type, id column, type prefix, 'lock' or '', columns.
-- The payload holds the columns that were named; after an update also `_old`, the former values of those that changed,
-- and an update that changes none of them is no event. Security definer: the host needs no rights in this schema.
create function outbox.emit_row() returns trigger
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  before jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  after jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  present jsonb := coalesce(after, before);
  columns text[] := tg_argv[4:];
  changed jsonb;
begin
  if tg_op = 'UPDATE' then
    select jsonb_object_agg(name, before -> name) into changed
    from unnest(columns) as name where before -> name is distinct from after -> name;
    if changed is null then
      return null;
    end if;
  end if;
  if tg_argv[3] = 'lock' then
    perform pg_advisory_xact_lock(outbox.lock_key(tg_argv[0], present ->> tg_argv[1]));
  end if;
  insert into outbox.event (aggregate_type, aggregate_id, type, payload)
  select
    tg_argv[0], present ->> tg_argv[1],
    tg_argv[2] || case tg_op when 'INSERT' then '.created' when 'UPDATE' then '.updated' else '.deleted' end,
    json_object_agg(field.name, field.value order by field.position)
  from (
    select name, present -> name, position from unnest(columns) with ordinality as named (name, position)
    union all
    select '_old', changed, cardinality(columns) + 1 where changed is not null
  ) as field (name, value, position);
  return null;
end
$$;

-- Begin to emit the events `<type_prefix>.created`, `.updated` and `.deleted` of a table, or go on with other arguments.
-- The columns are named one by one: a table of users often holds what must never leave it.
-- Where the id is not unique in the table by itself, each event takes the lock of its aggregate, as outbox.emit does; an
-- update of very many rows then needs as many locks (max_locks_per_transaction). `truncate` emits nothing.
-- Runs with the rights of the caller, who has to own the table or hold its privilege TRIGGER.
-- Locks: the table in share row exclusive mode, which waits for its writers, for 2 s at most.
create function outbox.capture(target regclass, aggregate_type text, id_column text, type_prefix text, variadic columns text[])
  returns void
  language plpgsql volatile set lock_timeout = '2s' as $$
#variable_conflict use_variable
declare
  missing text;
  own_key boolean;
begin
  if cardinality(columns) = 0 then
    raise exception 'expected the columns of % that its events may show, got none', target using errcode = 'invalid_parameter_value';
  end if;
  select name into missing
  from unnest(array_append(columns, id_column)) as name
  where not exists (
    select from pg_catalog.pg_attribute where attrelid = target and attname = name and attnum > 0 and not attisdropped
  ) limit 1;
  if found then
    raise exception 'expected a column of %, got %', target, coalesce(quote_ident(missing), 'null') using errcode = 'undefined_column';
  end if;
  if coalesce(aggregate_type, '') = '' or coalesce(type_prefix, '') = '' then
    raise exception 'expected an aggregate type and a prefix for the types of the events of %, got an empty one', target
      using errcode = 'invalid_parameter_value';
  end if;
  select exists (
    select from pg_catalog.pg_index as i
    join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = target and i.indisunique and i.indnkeyatts = 1 and i.indpred is null and a.attname = id_column
  ) into own_key;
  execute format(
    'create or replace trigger outbox_capture after insert or update or delete on %s for each row execute function outbox.emit_row(%s)',
    target,
    (
      select string_agg(quote_literal(argument), ', ' order by position)
      from unnest(array[aggregate_type, id_column, type_prefix, case when own_key then '' else 'lock' end] || columns)
        with ordinality as given (argument, position)
    )
  );
end
$$;

-- Emit no events of a table any more. Locks: the table, exclusively, for 2 s at most.
create function outbox.release_capture(target regclass) returns void
  language plpgsql volatile set lock_timeout = '2s' as $$
begin
  execute format('drop trigger outbox_capture on %s', target);
end
$$;
