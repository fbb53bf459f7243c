-- Keep a record of which a mail, or nothing at all, can be made, as it was read; the same attempt is kept once.
-- No row: it is kept already. Uses dead_letter_consume_key. Locks nothing but the new row.
insert into outbox.dead_letter (stage, reason, detail, event_id, type, aggregate_type, aggregate_id, topic, record_partition,
                                record_offset, mail, record_value, record_headers, attempts)
values ('consume', %(reason)s, %(detail)s, %(event_id)s::uuid, %(type)s, %(aggregate_type)s, %(aggregate_id)s, %(topic)s,
        %(partition)s, %(offset)s, %(mail)s, %(value)s, %(headers)s::jsonb, %(attempts)s)
on conflict (topic, record_partition, record_offset, coalesce(mail, ''), attempts) where stage = 'consume' do nothing
returning id
