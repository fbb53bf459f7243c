-- Permits outstanding, by lane. No row: none is out.
-- Index: permit_lane_idx; there are never more than the cap of a lane.
select lane, count(*) as count, extract(epoch from now() - min(issued_at))::float8 as oldest_seconds
from outbox.permit
group by lane
order by lane
