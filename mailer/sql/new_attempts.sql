-- Which attempts came after one that was counted already? Without one: only where counting begins. Uses the primary key.
-- An attempt whose transaction ends after a later one was counted is missed: this feeds a graph, not a decision.
select transport, outcome, count(*) as count, max(id) as last
from outbox.attempt
where id > coalesce(%(after)s, (select max(id) - 1 from outbox.attempt))
group by transport, outcome
