-- Note permits for lanes, as many as wanted and not over the cap; the caller sends each to the broker.
-- No row: enough are outstanding. Uses permit_lane_idx. Two callers at once may go over the cap by one another's number:
-- the cap keeps the broker short, and nothing rests on it.
insert into outbox.permit (id, lane)
select gen_random_uuid(), w.lane
from unnest(%(lanes)s::text[], %(wanted)s::int[]) as w(lane, wanted),
     generate_series(1, least(w.wanted, %(cap)s - (select count(*) from outbox.permit p where p.lane = w.lane)))
returning id, lane
