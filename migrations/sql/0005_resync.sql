-- What `outbox relay resync` may change beyond what a relay may. Security definer: only so, only with a reason, and only
-- with a row in the audit.

-- Accept that this cluster and this database are where the history lives from now on, under the given name. The name
-- changes when the database is a copy of one that goes on by itself.
create function outbox.adopt_history(install_id uuid, reason text) returns void
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  former outbox.meta;
begin
  if coalesce(btrim(reason), '') = '' then
    raise exception 'expected a reason, got none' using errcode = 'invalid_parameter_value';
  end if;
  select * into strict former from outbox.meta for update;
  update outbox.meta as m
  set install_id = adopt_history.install_id, sysid = (select system_identifier from pg_control_system()),
    database_oid = (select oid from pg_database where datname = current_database());
  perform outbox.record_action('adopt_history', 'installation ' || install_id, reason, jsonb_build_object('former', to_jsonb(former)));
end
$$;

-- Let events that a resync left out as published be published again, and return how many there were.
create function outbox.forget_published(shard integer, reason text) returns bigint
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  forgotten bigint;
begin
  delete from outbox.dead_letter as d
  where d.stage = 'publish' and d.shard = forget_published.shard and d.reason = 'already_published' and d.resolved_at is not null;
  get diagnostics forgotten = row_count;
  if forgotten > 0 then
    perform outbox.record_action('forget_published', 'shard ' || shard, reason, jsonb_build_object('forgotten', forgotten));
  end if;
  return forgotten;
end
$$;

revoke all on function outbox.adopt_history(uuid, text), outbox.forget_published(integer, text) from public;
