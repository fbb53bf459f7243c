-- The progress records of a shard in their order, each with the barrier row of its window.
select p.pos, p.seq, p.prev_seq, p.epoch, p.a, p.b, p.last_id, p.n, p.sha, p.owner, w.a, w.b, w.epoch, w.at
from progress as p left join window as w on w.shard = p.shard and w.seq = p.seq
where p.shard = ?
order by p.pos
