-- Say durably which claimed deliveries are about to be sent, and what is sent; from here on a crash leaves them in doubt.
-- A row that does not come back was taken over: it must not be sent. Uses the primary key.
-- Said again after a lost connection it finds its own `sending`: under our token nobody else can have set it.
update outbox.delivery d
set state = 'sending', content = coalesce(w.content, d.content), template_version = coalesce(w.version, d.template_version),
    pinned_transport = w.transport, claimed_until = now() + make_interval(secs => %(lease_seconds)s)
from unnest(%(ids)s::bigint[], %(tokens)s::uuid[], %(contents)s::bytea[], %(versions)s::text[], %(transports)s::text[])
  as w(id, token, content, version, transport)
where d.id = w.id and d.claim_token = w.token and d.state in ('claimed', 'sending')
returning d.id
