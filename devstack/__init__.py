"""PostgreSQL, Kafka and an SMTP sink on this machine, for the demo, the tests and the benches.

In: nothing, or the addresses of servers that run already (OUTBOX_DATABASE_URL, OUTBOX_KAFKA_BOOTSTRAP), or
OUTBOX_PROVIDER. Out: a `Stack` with the addresses; when it is closed, or its process dies, nothing is left running.
"""

from devstack.stack import Stack

__all__ = ["Stack"]
