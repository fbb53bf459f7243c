"""`outbox relay resync`: give a stopped shard a position again, by an explicit choice of an operator.

In: what PostgreSQL and Kafka still know of a shard, and the choice. Out: what it would publish twice or leave out, and,
once agreed to, a new progress record that the next takeover accepts. `deciding.py` decides, `looking.py` and
`reading.py` gather, `writing.py` changes, `running.py` puts them together.
"""
