"""Time from the commit of an insert to a `read_committed` consumer, against the floor of this machine.

The floor of an event is what nobody could do without: one durable commit in PostgreSQL (the barrier), one transaction
of one record in Kafka, and a fetch. It is measured in the same run, on the same servers, before and after.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import TYPE_CHECKING

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench import plots
from bench.bench import Bench
from bench.contest import contest, spread
from bench.programs import relay_running
from bench.quantiles import NAMES, milliseconds
from bench.table import Table
from console.migrate import upgrade
from devstack import Stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.contest import Rounds

RATE = 100.0
SECONDS = 20.0
TOPIC = "outbox.event.latency"
ROUNDS = 3


def _measure() -> Rounds:
    with Stack.start(kafka=True, postgres=True, smtp=False) as servers:
        upgrade(servers.database_url)
        admin = AdminClient({"bootstrap.servers": servers.kafka_bootstrap})
        admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(30)
        with relay_running(servers.environment()):
            contestants = {
                "floor": lambda: milliseconds(_floor(servers)),
                "relay": lambda: milliseconds(_latencies(servers)),
            }
            return contest(contestants, rounds=ROUNDS)


def _latencies(servers: Stack) -> list[float]:
    """Return seconds from commit to consumer, one an event."""
    committed: dict[str, float] = {}
    arrived: dict[str, float] = {}
    total = int(RATE * SECONDS)
    reader = threading.Thread(
        target=_read, args=(servers.kafka_bootstrap, arrived, total + 1), kwargs={"begin": _end(servers)}
    )
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


def _end(servers: Stack) -> int:
    """Return the offset at which the next event of the topic will be."""
    asking = Consumer({"bootstrap.servers": servers.kafka_bootstrap, "group.id": "bench-end"})
    _, end = asking.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=10)
    asking.close()
    return int(end)


def _insert(host: psycopg.Connection, committed: dict[str, float]) -> None:
    event_id = str(uuid.uuid4())
    host.execute(
        "insert into outbox.event (event_id, aggregate_type, aggregate_id, type, payload)"
        " values (%s, 'latency', %s, 'bench', %s)",
        (event_id, event_id[:2], json.dumps({"filler": "x" * 280})),
    )
    host.commit()
    committed[event_id] = time.monotonic()


def _read(bootstrap: str, arrived: dict[str, float], total: int, *, begin: int) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 50,
        }
    )
    consumer.assign([TopicPartition(TOPIC, 0, begin)])
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
    consumer.assign([TopicPartition(TOPIC, 0, _end(servers))])
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


def _tabulate(rounds: Rounds) -> Table:
    rows = [(who, *(f"{spread(rounds, who, figure):.1f}" for figure in NAMES)) for who in rounds]
    return Table((f"at {RATE:.0f} events/s, ms", *NAMES), rows)


def _plot(axes: Axes, rounds: Rounds) -> None:
    plots.bars(axes, NAMES, {who: [spread(rounds, who, figure) for figure in NAMES] for who in rounds})
    axes.set_ylabel("ms from commit to consumer")


BENCH = Bench(
    name="latency",
    question="how long from the commit of an insert to a read_committed consumer, against the floor of the machine?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
)
