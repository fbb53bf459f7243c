"""`usual_process.py DATABASE_URL BOOTSTRAP ROWS`: the relay that people write, as well as it can be written that way.

Lock a page of unpublished rows, produce it with an idempotent producer, flush, mark it published, commit. A crash
between the flush and the commit publishes the page again. The record is the one that our relay writes: the same key,
value and eight headers. Run as a file, so that its memory is its own and not the bench's.
"""

from __future__ import annotations

import signal
import sys
import threading
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg
from confluent_kafka import KafkaError, Message, Producer

if TYPE_CHECKING:
    from psycopg.rows import TupleRow

TOPIC = "bench.usual"
POLL_SECONDS = 0.05

READ = """
select id, event_id::text, aggregate_type, aggregate_id, type, payload::text, created_at
from usual_outbox
where published_at is null
order by id
limit %s
for update skip locked
"""
MARK = "update usual_outbox set published_at = now() where id = any(%s)"

Row = tuple[int, str, str, str, str, str, datetime]
Headers = list[tuple[str, str | bytes | None]]


class Deliveries:
    """The errors that the broker gave for a page."""

    def __init__(self) -> None:
        """Begin without one."""
        self.failed: list[KafkaError] = []

    def __call__(self, error: KafkaError | None, _message: Message) -> None:
        """Note what became of a message."""
        if error is not None:
            self.failed.append(error)


def main() -> int:
    """Publish until told to stop."""
    database_url, bootstrap, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 5,
            "batch.size": 262_144,
            "partitioner": "murmur2_random",
        }
    )
    with psycopg.connect(database_url) as connection:
        while not stopping.is_set():
            if publish(connection, producer, rows) < rows:
                stopping.wait(POLL_SECONDS)
    return 0


def publish(connection: psycopg.Connection[TupleRow], producer: Producer, rows: int) -> int:
    """Publish a page, and return how many rows it had."""
    with connection.transaction():
        page: list[Row] = connection.execute(READ, (rows,), prepare=True).fetchall()
        if not page:
            return 0
        deliveries = Deliveries()
        for row in page:
            producer.produce(TOPIC, row[5], row[3], headers=headers_of(row), on_delivery=deliveries)
        producer.flush()
        if deliveries.failed:
            raise RuntimeError(f"expected a page of {len(page)} to be acknowledged, got {deliveries.failed[0]}")
        connection.execute(MARK, ([row[0] for row in page],), prepare=True)
        return len(page)


def headers_of(row: Row) -> Headers:
    """Return the headers of an event."""
    _, event_id, aggregate_type, aggregate_id, kind, _, created_at = row
    return [
        ("id", event_id),
        ("ce_id", event_id),
        ("ce_time", created_at.isoformat()),
        ("ce_subject", aggregate_id),
        ("ce_specversion", "1.0"),
        ("ce_type", kind),
        ("ce_source", f"/outbox/{aggregate_type}"),
        ("content-type", "application/json"),
    ]


if __name__ == "__main__":
    sys.exit(main())
