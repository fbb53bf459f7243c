"""`outbox verify`: whether Kafka holds what PostgreSQL says it published, once each, in order, and nothing else.

In: a range of windows of `outbox.batch`, the rows of `outbox.event` that they carry, and everything that a
read_committed consumer sees of their topics. Out: counts, findings, and what could not be judged with the reason.
`judging.py` and `chain.py` decide; `table.py`, `topics.py` and `scratch.py` read and sort; `running.py` is the order
of it all.
"""
