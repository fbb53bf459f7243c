-- What each role may do in this schema, and nothing beyond it; of a role that is missing, nothing. May be run again.
do $$
begin
  if to_regrole('outbox_writer') is not null then
    grant usage on schema outbox to outbox_writer;
    -- Never tx or id: an event with an old tx would be in no window, and nobody would notice.
    grant insert (event_id, aggregate_type, aggregate_id, type, payload, headers, topic, created_at) on outbox.event to outbox_writer;
    grant execute on function
      outbox.emit(text, text, text, json, jsonb, text, uuid), outbox.emit(text, text, text, text, jsonb, text, uuid),
      outbox.emit(text, text, text, jsonb, jsonb, text, uuid), outbox.lock_key(text, text),
      outbox.schedule(text, text, text, json, jsonb, timestamptz, text, uuid),
      outbox.schedule(text, text, text, text, jsonb, timestamptz, text, uuid),
      outbox.schedule(text, text, text, jsonb, jsonb, timestamptz, text, uuid), outbox.cancel(uuid)
      to outbox_writer;
  end if;

  if to_regrole('outbox_relay') is not null then
    grant usage on schema outbox to outbox_relay;
    grant select on outbox.alembic_version, outbox.meta, outbox.scheduled to outbox_relay;
    grant select, insert, update on outbox.shard, outbox.dead_letter to outbox_relay;
    grant select, insert, update, delete on outbox.batch to outbox_relay;
    grant select, delete on outbox.event to outbox_relay;   -- delete: retention
    grant insert (event_id, aggregate_type, aggregate_id, type, payload, headers, topic) on outbox.event to outbox_relay;
    grant execute on function
      outbox.lock_key(text, text), outbox.shard_of(text, text, integer), outbox.release_due(integer), outbox.backlog()
      to outbox_relay;
  end if;

  if to_regrole('outbox_mailer') is not null then
    grant usage on schema outbox to outbox_mailer;
    grant select on outbox.alembic_version, outbox.meta to outbox_mailer;
    grant select, insert, update, delete on outbox.delivery to outbox_mailer;
    grant select, insert on outbox.attempt to outbox_mailer;
    grant select, insert, update on outbox.transport to outbox_mailer;
    grant select, insert, delete on outbox.suppression, outbox.permit to outbox_mailer;
    grant select, insert, update (redrive_pending) on outbox.dead_letter to outbox_mailer;
  end if;

  if to_regrole('outbox_operator') is not null then
    grant usage on schema outbox to outbox_operator;
    grant select on all tables in schema outbox to outbox_operator;
    grant execute on function
      outbox.redrive(bigint, text), outbox.redrive_many(bigint[], text), outbox.discard(bigint, text),
      outbox.discard_many(bigint[], text), outbox.redrive_delivery(bigint, text), outbox.settle_delivery(bigint, text, text),
      outbox.record_action(text, text, text, jsonb), outbox.backlog(), outbox.shard_of(text, text, integer)
      to outbox_operator;
  end if;

  -- Sees what is stuck and why, but no payload, recipient or content: a dashboard needs no personal data.
  if to_regrole('outbox_reader') is not null then
    grant usage on schema outbox to outbox_reader;
    grant select on
      outbox.alembic_version, outbox.meta, outbox.shard, outbox.batch, outbox.attempt, outbox.transport, outbox.permit, outbox.audit
      to outbox_reader;
    grant select (tx, id, event_id, aggregate_type, aggregate_id, type, headers, topic, created_at) on outbox.event to outbox_reader;
    grant select (event_id, due_at, aggregate_type, aggregate_id, type, headers, topic, created_at) on outbox.scheduled to outbox_reader;
    grant select (
      id, message_uuid, event_id, event_type, aggregate_type, aggregate_id, mail, locale, lane, priority, in_doubt_policy, traceparent,
      state, cycle, attempt, resent, next_attempt_at, expires_at, claimed_by, claimed_until, pinned_transport, template_version,
      created_at, finished_at
    ) on outbox.delivery to outbox_reader;
    grant select (reason, delivery_id, created_at) on outbox.suppression to outbox_reader;
    grant select (
      id, stage, reason, detail, event_id, type, aggregate_type, aggregate_id, shard, event_row_id, parks, behind, topic,
      record_partition, record_offset, mail, delivery_id, cycle, headers, attempts, created_at, resolved_at, resolution, resolved_by,
      resolution_reason, redriven_event_id, redrive_pending
    ) on outbox.dead_letter to outbox_reader;
    grant execute on function outbox.backlog(), outbox.shard_of(text, text, integer) to outbox_reader;
  end if;
end
$$;
