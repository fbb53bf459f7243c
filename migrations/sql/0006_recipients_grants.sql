-- What came with 0006; of a role that is missing, nothing. May be run again.
do $$
begin
  if to_regrole('outbox_mailer') is not null then
    grant update on outbox.suppression to outbox_mailer;
  end if;
  if to_regrole('outbox_operator') is not null then
    grant execute on function
      outbox.suppress(bytea, text), outbox.unsuppress(bytea, text), outbox.erase_recipient(bytea, bytea[], text)
      to outbox_operator;
  end if;
  if to_regrole('outbox_reader') is not null then
    grant select (undeliverable, unsubscribed_at) on outbox.suppression to outbox_reader;
    grant select (suppressible) on outbox.delivery to outbox_reader;
  end if;
end
$$;
