-- The smallest id among the transactions of a shard's judged windows that began after its snapshot A, and the largest of all.
select min(case when tx >= ?2 then id end), max(id) from event where shard = ?1 and judged and seq is not null
