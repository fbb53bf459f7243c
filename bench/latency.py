"""Time from the commit of an insert to a `read_committed` consumer, against the floor of this machine.

The floor of an event is what nobody could do without: one durable commit in PostgreSQL (the barrier), one transaction
of one record in Kafka, and a fetch. It is measured in the same run, on the same servers, before and after.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from console.migrate import upgrade
from devstack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 100.0
SECONDS = 20.0
TOPIC = "outbox.event.latency"
RESULTS = Path(__file__).parent / "results"


def run() -> None:
    """Measure, print a table and write bench/results/latency.json."""
    with Stack.start(kafka=True, postgres=True, smtp=False) as servers:
        upgrade(servers.database_url)
        admin = AdminClient({"bootstrap.servers": servers.kafka_bootstrap})
        admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(30)
        floor = _floor(servers)
        with _relay(servers):
            latencies = _latencies(servers)
        floor += _floor(servers)
    summaries = {"relay_ms": _summary(latencies), "floor_ms": _summary(floor)}
    figures = {"rate_per_second": RATE, "events": len(latencies), **summaries}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latency.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"commit -> read_committed consumer at {RATE:.0f} events/s, {len(latencies)} events, ms")
    for name, summary in summaries.items():
        print(f"  {name:9}" + "  ".join(f"{key} {value:7.1f}" for key, value in summary.items()))


def _summary(samples: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(samples, n=1000)
    return {
        "p50": round(cuts[499] * 1000, 2),
        "p99": round(cuts[989] * 1000, 2),
        "p99.9": round(cuts[998] * 1000, 2),
        "max": round(max(samples) * 1000, 2),
    }


def _latencies(servers: Stack) -> list[float]:
    """Return seconds from commit to consumer, one an event."""
    committed: dict[str, float] = {}
    arrived: dict[str, float] = {}
    total = int(RATE * SECONDS)
    reader = threading.Thread(target=_read, args=(servers.kafka_bootstrap, arrived, total + 1))
    reader.start()
    with psycopg.connect(servers.database_url) as host:
        _insert(host, committed)  # the relay's first take-over is not what is measured
        while len(arrived) < 1:
            reader.join(0.05)
        began = time.monotonic()
        for number in range(total):
            reader.join(max(0.0, began + number / RATE - time.monotonic()))
            _insert(host, committed)
    reader.join(60)
    measured = [arrived[event_id] - at for event_id, at in list(committed.items())[1:] if event_id in arrived]
    if len(measured) != total:
        raise RuntimeError(f"expected {total} events to arrive, got {len(measured)}")
    return measured


def _insert(host: psycopg.Connection, committed: dict[str, float]) -> None:
    event_id = str(uuid.uuid4())
    host.execute(
        "insert into outbox.event (event_id, aggregate_type, aggregate_id, type, payload)"
        " values (%s, 'latency', %s, 'bench', %s)",
        (event_id, event_id[:2], json.dumps({"filler": "x" * 280})),
    )
    host.commit()
    committed[event_id] = time.monotonic()


def _read(bootstrap: str, arrived: dict[str, float], total: int) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 50,
        }
    )
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    while len(arrived) < total:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            header = dict(message.headers() or []).get("id")
            if isinstance(header, bytes):
                arrived[header.decode()] = time.monotonic()
    consumer.close()


def _floor(servers: Stack, *, samples: int = 200) -> list[float]:
    """Return seconds for one durable commit, one Kafka transaction of one record and its fetch."""
    producer = Producer(
        {"bootstrap.servers": servers.kafka_bootstrap, "transactional.id": f"bench-{uuid.uuid4()}", "linger.ms": 0}
    )
    producer.init_transactions(30)
    consumer = Consumer(
        {
            "bootstrap.servers": servers.kafka_bootstrap,
            "group.id": "bench-floor",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 50,
        }
    )
    _, end = consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=10)
    consumer.assign([TopicPartition(TOPIC, 0, end)])
    measured = []
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("create table if not exists bench_floor (at timestamptz)")
        for _ in range(samples):
            began = time.monotonic()
            connection.execute("insert into bench_floor values (now())")
            producer.begin_transaction()
            producer.produce(TOPIC, value=b"x" * 300)
            producer.commit_transaction(10)
            while (message := consumer.poll(5)) is None or message.error() is not None:
                pass
            measured.append(time.monotonic() - began)
    consumer.close()
    return measured


@contextlib.contextmanager
def _relay(servers: Stack) -> Iterator[None]:
    environment = dict(os.environ) | servers.environment()  # noqa: TID251  a child process inherits ours
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "console", "relay", "run"], env=environment, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)
