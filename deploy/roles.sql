-- The logins of compose.yaml: one a process, each a member of the group role whose grants `outbox migrate up` gives.
-- The group roles are made here, for the migrating user of a production database should not be able to create roles.
create role outbox_writer nologin;
create role outbox_relay nologin;
create role outbox_mailer nologin;
create role outbox_operator nologin;
create role outbox_reader nologin;
create role app login password 'app-development-only' in role outbox_writer;
create role relay login password 'relay-development-only' in role outbox_relay;
create role mailer login password 'mailer-development-only' in role outbox_mailer;
create role operator login password 'operator-development-only' in role outbox_operator;
-- For `outbox relay resync` and `outbox relay hanging --end`: what neither the relay nor an operator may do alone.
create role resync login password 'resync-development-only' in role outbox_relay, outbox_operator;
