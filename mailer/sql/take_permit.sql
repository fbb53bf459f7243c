-- Use up a permit. No row: it was counted as lost, and another was issued for it. Uses the primary key.
delete from outbox.permit where id = %(id)s returning id
