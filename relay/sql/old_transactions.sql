-- Which transactions that snapshot A saw in progress has B seen end (W1)?
-- Their events carry a tx below xmax(A), so that the range scan of a window misses them. No rows: none has ended.
-- Takes no locks and no transaction id.
select coalesce(array_agg(tx::text), '{}') as olds
from pg_snapshot_xip(%(a)s::pg_snapshot) as tx
where pg_visible_in_snapshot(tx, %(b)s::pg_snapshot)
