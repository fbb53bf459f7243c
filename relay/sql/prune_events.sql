-- Delete the next chunk of events that every shard has confirmed, older than the cutoff, and not behind an unresolved dead letter.
-- `seen` = 0: the end. `young`: the chunk reaches what is to be kept. Nothing is deleted while a shard has no floor yet.
-- Index: event_pkey. Locks the rows that it deletes; no host ever touches them again.
with chunk as (
  select id, tx, event_id, created_at from outbox.event where id > %(after)s order by id limit %(rows)s
), gone as (
  delete from outbox.event as e
  using chunk as c
  where e.id = c.id
    and c.created_at < now() - make_interval(secs => %(seconds)s)
    and not exists (
      select from generate_series(0, (select shards from outbox.meta) - 1) as n
      left join outbox.shard as s on s.shard = n
      left join outbox.batch as b on b.shard = s.shard and b.seq = s.pruned_seq
      where b.a is null or not pg_visible_in_snapshot(c.tx, b.a)
    )
    and not exists (
      select from outbox.dead_letter as d where d.event_id = c.event_id and (d.resolved_at is null or d.redrive_pending)
    )
  returning e.id
)
select
  count(*) as seen, (select count(*) from gone) as pruned, coalesce(max(id), 0) as last,
  coalesce(bool_or(created_at >= now() - make_interval(secs => %(seconds)s)), false) as young
from chunk
