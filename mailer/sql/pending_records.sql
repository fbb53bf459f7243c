-- Which kept records has an operator sent back to be planned again? Uses dead_letter_pending_idx.
-- Locks the rows; those that another consumer holds are skipped.
select id, topic, record_partition, record_offset, aggregate_id, mail, record_value, record_headers, attempts
from outbox.dead_letter
where redrive_pending and stage = 'consume'
order by id
limit %(limit)s
for update skip locked
