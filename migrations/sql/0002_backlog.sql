-- Committed events that each shard has not yet published, and the time of the oldest.
-- From the mirror of the position: what snapshot B did not see, and of the window under way what lies behind `last`. Events
-- with a dead letter are accounted for. Cheap by event_tx_idx: only the backlog itself is read.
-- Security definer: whoever may read the state of the relay need not be let near the events.
create function outbox.backlog() returns table (shard integer, backlog bigint, oldest_at timestamptz)
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp
  set jit = off  -- compiling costs a hundred times what there is to do
  set plan_cache_mode = 'force_custom_plan' as $$  -- a generic plan cannot know how little lies behind a snapshot
#variable_conflict use_column
declare
  place record;
begin
  for place in
    select
      numbered.shard, m.shards, s.confirmed_last as last,
      coalesce(s.confirmed_snap, '3:3:') as b,
      -- The window under way; null when it is finished, or when its barrier is gone. A subquery and no join, for the
      -- planner takes the few shards for a thousand, and would sort all barriers.
      case when s.confirmed_last is not null then
        (select w.a from outbox.batch as w where w.shard = s.shard and w.seq = s.confirmed_seq)
      end as a
    from outbox.meta as m
    cross join generate_series(0, m.shards - 1) as numbered (shard)
    left join outbox.shard as s on s.shard = numbered.shard
    order by numbered.shard
  loop
    return query
      select place.shard, count(*), min(waiting.created_at)
      from (
        select e.id, e.created_at, e.aggregate_type, e.aggregate_id
        from outbox.event as e where e.tx >= pg_snapshot_xmax(place.b)
        union all
        select e.id, e.created_at, e.aggregate_type, e.aggregate_id
        from outbox.event as e where e.tx = any (array(select pg_snapshot_xip(place.b)))
        union all
        select e.id, e.created_at, e.aggregate_type, e.aggregate_id
        from outbox.event as e
        where place.a is not null and e.id > place.last and e.tx >= pg_snapshot_xmax(place.a) and e.tx < pg_snapshot_xmax(place.b)
          and pg_visible_in_snapshot(e.tx, place.b)
        union all
        select e.id, e.created_at, e.aggregate_type, e.aggregate_id
        from outbox.event as e
        where place.a is not null and e.id > place.last
          and e.tx = any (array(select x from pg_snapshot_xip(place.a) as x where pg_visible_in_snapshot(x, place.b)))
      ) as waiting
      where (place.shards = 1 or outbox.shard_of(waiting.aggregate_type, waiting.aggregate_id, place.shards) = place.shard)
        and not exists (
          select from outbox.dead_letter as d
          where d.stage = 'publish' and d.shard = place.shard and d.event_row_id = waiting.id
        );
  end loop;
end
$$;
