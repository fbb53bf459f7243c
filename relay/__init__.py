"""The relay: from the table to the topic, exactly once.

In: committed rows of `outbox.event`. Out: records in Kafka, the position that travels with them, and dead letters.
Read `window.py` (what is published), `machine.py` (what happens when), `loop.py` (how) in this order.
"""
