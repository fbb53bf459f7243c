-- Tables of hosts whose rows emit events: their triggers need our functions. No row: none is captured.
-- Takes no locks.
select t.tgrelid::regclass::text as name
from pg_trigger as t
where t.tgfoid = to_regprocedure('outbox.emit_row()') and t.tgparentid = 0
order by name
