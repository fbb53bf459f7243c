"""What is read while a contestant works: how far its topic is visible, and the CPU time of each part of the machine."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import psutil
import psycopg
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # no __all__

from bench.peers import outboxes
from bench.peers.drain import Sample
from bench.peers.servers import PARTITIONS
from bench.processor import cpu_seconds

if TYPE_CHECKING:
    from types import TracebackType

    from devstack import Stack

_SAMPLE_SECONDS = 0.025


class Offsets:
    """How far a topic is visible to `read_committed` consumers, over all partitions; control records count as well."""

    def __init__(self, bootstrap: str) -> None:
        """Ask the broker at *bootstrap*."""
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def visible(self, topic: str) -> int:
        """Return the sum of the partitions' last stable offsets."""
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(topic, number): latest for number in range(PARTITIONS)}
        found = self._admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=10)
        return sum(future.result().offset for future in found.values())

    def settled(self, topic: str, *, at_least: int, timeout_seconds: float = 120.0, quiet_seconds: float = 0.7) -> None:
        """Wait until *at_least* is visible, and for *quiet_seconds* nothing more."""
        pause, now = threading.Event(), time.monotonic()
        deadline, seen, since = now + timeout_seconds, self.visible(topic), now
        while seen < at_least or now - since < quiet_seconds:
            if now > deadline:
                raise RuntimeError(f"expected {topic} to reach offset {at_least}, got {seen}")
            pause.wait(0.02)
            found, now = self.visible(topic), time.monotonic()
            if found != seen:
                seen, since = found, now


@dataclass(frozen=True, slots=True)
class Written:
    """What PostgreSQL has written so far."""

    wal_bytes: int
    dead_rows: int

    @classmethod
    def by(cls, database_url: str) -> Self:
        """Return what was written until now; a session that goes on reports its rows late."""
        with psycopg.connect(database_url) as connection:
            row = connection.execute(outboxes.WRITTEN).fetchone()
            assert row is not None  # noqa: S101  one row always
            return cls(*row)


class Sampler:
    """Samples of a contestant's progress and of the CPU time spent, taken by a thread while the block runs."""

    def __init__(self, servers: Stack, offsets: Offsets, topic: str, relay: int) -> None:
        """Prepare to sample *topic*; *relay* is the contestant's process."""
        self.samples: list[Sample] = []
        self._offsets, self._topic, self._relay = offsets, topic, relay
        self._postgres = listener(urlsplit(servers.database_url).port)
        self._broker = listener(int(servers.kafka_bootstrap.rpartition(":")[2]))
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler")

    def __enter__(self) -> Self:
        """Take a first sample, and go on."""
        self._take()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no more."""
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._take()

    def _take(self) -> None:
        visible = self._offsets.visible(self._topic)
        cpu = {
            "relay": cpu_seconds(self._relay),
            "postgres": cpu_seconds(self._postgres),
            "broker": cpu_seconds(self._broker),
        }
        self.samples.append(Sample(time.monotonic(), visible, cpu))


def listener(port: int | None) -> int:
    """Return the process that listens on *port*."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return _oldest(connection.pid)
    raise LookupError(f"expected a process to listen on port {port}, found none")


def _oldest(pid: int) -> int:
    """Return the ancestor that was started as the server: PostgreSQL's backends hold its socket as well."""
    process = psutil.Process(pid)
    while (parent := process.parent()) is not None and parent.name() == process.name():
        process = parent
    return int(process.pid)
