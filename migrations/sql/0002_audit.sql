-- Who does it, and what was done.

-- The login, or whom the console has authenticated and named with set_config('outbox.actor', …, true).
create function outbox.actor() returns text
  language sql stable parallel safe
  return coalesce(nullif(current_setting('outbox.actor', true), ''), session_user::text);

-- Note what an operator has done. The login stands beside the name that was given, so that it cannot be denied.
create function outbox.record_action(action text, target text, reason text, detail jsonb default null) returns void
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
  insert into outbox.audit (actor, action, target, reason, detail)
  values (outbox.actor(), action, target, reason, coalesce(detail, '{}') || jsonb_build_object('login', session_user));
end
$$;
