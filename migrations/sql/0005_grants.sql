-- Who may put a position right: a login that is a member of outbox_relay, which writes positions, and of outbox_operator,
-- whose actions are audited. Neither alone can. May be run again.
do $$
begin
  if to_regrole('outbox_operator') is not null then
    grant execute on function outbox.adopt_history(uuid, text), outbox.forget_published(integer, text) to outbox_operator;
  end if;
end
$$;
