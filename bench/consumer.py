"""Records a second that become deliveries: a topic of 200,000 events, one consumer, one PostgreSQL.

The limit is what PostgreSQL takes of the same statement when the rows are made beforehand.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING

import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench import plots
from bench.bench import Bench
from bench.contest import contest, ratio, spread
from bench.mail.flow import CONSUMER, UPGRADED, flow
from bench.mail.spent import Spent
from bench.mail.texts import PAYLOAD
from bench.table import Table
from mailer.database import rows
from mailer.owing import _columns
from mailer.planning import ReadRecord, plan
from mailer.rendering import Library
from mailer.subscription import GROUP
from outbox.envelope import CloudEventsBinary, StoredEvent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from psycopg.rows import DictRow

    from bench.contest import Figures, Rounds
    from bench.mail.flow import Flow
    from outbox.envelope import Record

EVENTS = 200_000
ROUNDS = 2
ALONE = 20_000
BATCH = 500
TOPIC = "outbox.event.user"
# Below the producer's own limit.
QUEUED = 50_000
OURS, LIMIT = "consumer", "insert alone"
_LOOK_SECONDS = 0.02
_CLEAR = "truncate outbox.delivery restart identity cascade"


def _measure() -> Rounds:
    with flow("null:") as run:
        publish(run.servers.kafka_bootstrap, EVENTS)
        return contest({LIMIT: partial(_alone, run), OURS: partial(_consume, run)}, rounds=ROUNDS)


def publish(bootstrap: str, count: int) -> None:
    """Publish *count* events as the relay does, but for its transactions."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(30)
    producer, encoder = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50}), CloudEventsBinary(source="/bench")
    for number in range(count):
        record = encoder.encode(_event(number))
        producer.produce(TOPIC, key=record.key, value=record.value, headers=list(record.headers))
        if number % 1000 == 0:
            producer.poll(0)
            while len(producer) > QUEUED:
                producer.poll(0.1)
    producer.flush()


def _event(number: int) -> StoredEvent:
    return StoredEvent(
        event_id=str(uuid.uuid4()),
        aggregate_type="user",
        aggregate_id=str(number),
        type=UPGRADED,
        payload=json.dumps({**PAYLOAD, "email": f"user-{number}@example.com"}),
        headers=None,
        topic=None,
        created_at="2026-11-24T00:00:00Z",
    )


def _consume(run: Flow) -> Figures:
    """Return how fast a consumer plans all of them, from the first batch that is committed to the last."""
    admin = AdminClient({"bootstrap.servers": run.servers.kafka_bootstrap})
    for deleted in admin.delete_consumer_groups([GROUP]).values():
        if deleted.exception() is not None and run.number("select count(*) from outbox.delivery") > ALONE:
            deleted.result()
    pause, first = threading.Event(), (0.0, 0.0)
    with psycopg.connect(run.servers.database_url, autocommit=True) as connection:
        connection.execute(_CLEAR)
        with run.running(CONSUMER) as processes, Spent(run.servers, {"consumer": processes[CONSUMER]}) as spent:
            done = 0.0
            while done < EVENTS:
                pause.wait(_LOOK_SECONDS)
                row = connection.execute("select coalesce(max(id), 0) from outbox.delivery").fetchone()
                done = float(row[0]) if row else 0.0
                if done and not first[0]:
                    first = (time.monotonic(), done)
            seconds = time.monotonic() - first[0]
    cpu = {f"{part}_us": 1e6 * used / EVENTS for part, used in spent.seconds.items()}
    return {"rate": (EVENTS - first[1]) / seconds, **cpu}


def _alone(run: Flow) -> Figures:
    """Return how fast PostgreSQL takes the same rows in the same batches, when making them costs nothing."""
    library, encoder = Library.load(), CloudEventsBinary(source="/bench")
    batches = []
    for start in range(0, ALONE, BATCH):
        records = [encoder.encode(_event(start + number)) for number in range(BATCH)]
        owed = [one for record in records for one in plan(_read(record), mails=library, key_of=_key).owed]
        batches.append(_columns(owed))
    with psycopg.connect(run.servers.database_url, autocommit=True) as connection:
        connection.execute(_CLEAR)
        typed: psycopg.Connection[DictRow] = connection  # type: ignore[assignment]  # rows() sets its own
        began = time.monotonic()
        for columns in batches:
            rows(typed, "plan_deliveries", columns)
        return {"rate": ALONE / (time.monotonic() - began)}


def _read(record: Record) -> ReadRecord:
    return ReadRecord(record.topic, 0, 0, record.key, record.value, record.headers)


def _key(address: str) -> bytes:
    return address.encode()


def _tabulate(rounds: Rounds) -> Table:
    parts = ("consumer_us", "postgres_us", "broker_us")
    cells = [
        (
            name,
            f"{spread(rounds, name, 'rate'):,.0f}",
            f"{ratio(rounds, name, LIMIT, 'rate'):.2f}",
            *(f"{spread(rounds, name, part).median:,.0f}" if part in rounds[name][0] else "" for part in parts),
        )
        for name in rounds
    ]
    heads = ("", "records/s", "of the limit", "CPU of the consumer, µs a record", "of PostgreSQL", "of Kafka")
    return Table(heads, cells)


def _plot(axes: Axes, rounds: Rounds) -> None:
    plots.bars(axes, list(rounds), {"": [spread(rounds, name, "rate") for name in rounds]})
    axes.set_ylabel("records/s")


BENCH = Bench(
    name="consumer",
    question="how many records a second become deliveries?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
)
