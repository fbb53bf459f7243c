-- What operators did to one thing, the first action first. No row: nobody did anything.
-- Reads the audit, which is short: it grows by what people do.
select at, actor, action, reason, detail from outbox.audit where target = %(target)s order by id
