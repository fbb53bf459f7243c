-- To whom a delivery goes, and the payload it is made from: personal data. No row: there is none with that id.
-- Index: primary key.
select recipient, payload::text as payload from outbox.delivery where id = %(id)s
