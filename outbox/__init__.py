"""Insert events in the transaction that makes them true: `outbox.insert(connection_or_session, Event(...))`.

In: a host's connection or session, and events. Out: rows of `outbox.event`, which a relay publishes to Kafka. This is
the only API that is promised to hosts; importing it needs nothing but Python.
"""

from outbox.errors import (
    InvalidEventError,
    InvalidPayloadError,
    OutboxError,
    OutsideTransactionWarning,
    ReservedHeaderError,
    UnsupportedHostError,
)
from outbox.event import Event, Payload
from outbox.hosts import insert

__all__ = [
    "Event",
    "InvalidEventError",
    "InvalidPayloadError",
    "OutboxError",
    "OutsideTransactionWarning",
    "Payload",
    "ReservedHeaderError",
    "UnsupportedHostError",
    "insert",
]
