-- Every attempt at a delivery, the first one first; replies are scrubbed of addresses. No row: nobody has tried.
-- Index: attempt_delivery_idx.
select cycle, attempt, at, finished_at, transport, phase, code, enhanced_code, outcome, detail, worker
from outbox.attempt
where delivery_id = %(id)s
order by id
