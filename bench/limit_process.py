"""`python -m bench.limit_process BOOTSTRAP ROWS COUNT`: the bare loop.

Begin, produce events that are in memory, commit; nothing else.
"""

from __future__ import annotations

import json
import sys
import time
import uuid

from confluent_kafka import Producer

from bench.processor import peak_rss_kib

Headers = list[tuple[str, str | bytes | None]]

TOPIC, PROGRESS = "outbox.event.bench", "bench.limit.progress"


def main() -> int:
    """Publish *count* events, *rows* in a transaction, and print the figures."""
    bootstrap, rows, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": f"limit-{uuid.uuid4()}",
            "linger.ms": 0,
            "partitioner": "murmur2_random",
            "delivery.report.only.error": True,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    producer.init_transactions(30)
    _publish(producer, [(b"1", b"x" * 300, _headers())] * 1)  # the connections and the topics' metadata
    events = [(str(number % 1000).encode(), b"x" * 300, _headers()) for number in range(min(count, 20_000))]
    pages = [[events[(page * rows + row) % len(events)] for row in range(rows)] for page in range(count // rows)]
    began, cpu = time.monotonic(), time.process_time()
    for page in pages:
        _publish(producer, page)
    figures = {
        "published": len(pages) * rows,
        "pages": len(pages),
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
        "peak_rss_kib": peak_rss_kib(),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


def _publish(producer: Producer, page: list[tuple[bytes, bytes, Headers]]) -> None:
    producer.begin_transaction()
    for key, value, headers in page:
        while True:
            try:
                producer.produce(TOPIC, value, key, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
    producer.produce(PROGRESS, b"{}" * 100, b"key", partition=0)
    producer.commit_transaction(60)


def _headers() -> Headers:
    """Return headers like those of an event: eight of them."""
    identity = str(uuid.uuid4()).encode()
    return [
        ("id", identity),
        ("ce_id", identity),
        ("ce_time", b"2026-11-24T10:00:00.123456Z"),
        ("ce_subject", b"42"),
        ("ce_specversion", b"1.0"),
        ("ce_type", b"bench.happened"),
        ("ce_source", b"/outbox/1f9b0c1c-4c5f-4c9c-8f6a-0a1b2c3d4e5f/bench"),
        ("content-type", b"application/json"),
    ]


if __name__ == "__main__":
    sys.exit(main())
