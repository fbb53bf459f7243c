-- Take every right in this schema back. The roles stay: other databases of the cluster may use them.
do $$
declare
  job text;
begin
  foreach job in array array['outbox_writer', 'outbox_relay', 'outbox_mailer', 'outbox_operator', 'outbox_reader'] loop
    if to_regrole(job) is not null then
      execute format('revoke all on all tables in schema outbox from %I', job);
      execute format('revoke all on all functions in schema outbox from %I', job);
      execute format('revoke all on schema outbox from %I', job);
    end if;
  end loop;
end
$$;
