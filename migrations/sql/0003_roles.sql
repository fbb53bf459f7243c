-- The five roles, one a job; logins become members: `grant outbox_writer to my_app`. Roles belong to the cluster, so
-- another database may have made them, perhaps at this moment. Who may not create roles gets a warning and goes on:
-- an administrator runs `outbox migrate grants | psql` afterwards.
do $$
declare
  job text;
begin
  foreach job in array array['outbox_writer', 'outbox_relay', 'outbox_mailer', 'outbox_operator', 'outbox_reader'] loop
    if to_regrole(job) is null then
      begin
        execute format('create role %I nologin', job);
      exception
        when duplicate_object or unique_violation then
          null;
        when insufficient_privilege then
          raise warning 'role % is missing, and % may not create roles', job, current_user
            using hint = 'an administrator makes the roles and their grants: outbox migrate grants | psql';
      end;
    end if;
  end loop;
end
$$;
