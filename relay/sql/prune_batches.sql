-- Delete a chunk of barrier rows that no believable position names any more. Index: primary key. Locks the rows it deletes.
with gone as (
  delete from outbox.batch as b
  where (b.shard, b.seq) in (
    select c.shard, c.seq from outbox.batch as c
    join outbox.shard as s using (shard)
    where c.seq < s.pruned_seq and c.at < now() - make_interval(secs => %(seconds)s)
    order by c.shard, c.seq
    limit %(rows)s
  )
  returning 1
)
select count(*) as pruned from gone
