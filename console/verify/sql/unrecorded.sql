-- Windows of a shard that no progress record speaks of.
select seq, at from window where shard = ?1 and seq > 0 and seq between ?2 and ?3
  and seq not in (select seq from progress where shard = ?1) order by seq
