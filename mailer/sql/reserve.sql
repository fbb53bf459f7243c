-- Reserve the next slots of transports that have a limit: so many seconds of each, behind whatever any worker reserved
-- before. Returns for how many seconds from now a transport is taken after it. No row for a transport: its slots would begin
-- later than patience, and none was reserved. Index: the primary key. Locks the rows, in the order of their names, as all do.
insert into outbox.transport as t (name, free_at)
select w.name, now() + make_interval(secs => w.seconds)
from unnest(%(names)s::text[], %(seconds)s::float8[]) as w(name, seconds)
order by w.name
on conflict (name) do update
set free_at = greatest(t.free_at, now()) + (excluded.free_at - now())
where t.free_at is null or t.free_at <= now() + make_interval(secs => %(patience_seconds)s)
returning t.name, extract(epoch from t.free_at - now())::float8 as taken_seconds
