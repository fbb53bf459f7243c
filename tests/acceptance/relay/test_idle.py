"""An hour of a shard with nothing to publish, by a clock that the test sets."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from confluent_kafka import Producer

from devstack import providers
from relay.loop import ShardLoop
from relay.service import identify, wire
from relay.settings import RelaySettings
from relay.telemetry import Telemetry
from runtime.stopping import StopSignal
from tests.support.checker import check
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from relay.wiring import Outcome


class Clock:
    """Time that also passes when a test says so."""

    def __init__(self) -> None:
        """Begin now."""
        self._ahead = 0.0

    def __call__(self) -> float:
        """Return the seconds."""
        return time.monotonic() + self._ahead

    def pass_by(self, seconds: float) -> None:
        """Let *seconds* pass at once."""
        self._ahead += seconds


class Idling:
    """A loop in a thread of this process; `seen` counts what it tells of."""

    def __init__(self, settings: RelaySettings) -> None:
        """Wire it to the servers of *settings*."""
        self.clock = Clock()
        self.stop = StopSignal()
        self.seen: Counter[str] = Counter()
        self.outcomes: list[Outcome] = []
        telemetry = Telemetry(self._count)
        installation = identify(settings, self.stop, patient=False, telemetry=telemetry)
        wiring = wire(settings, installation, telemetry, self.stop)
        self._loop = ShardLoop(replace(wiring, clock=self.clock), 0, drain=False)
        self.thread = threading.Thread(target=lambda: self.outcomes.append(self._loop.run()), daemon=True)

    def _count(self, event: str, _facts: Mapping[str, object]) -> None:
        self.seen[event] += 1

    def told(self, event: str, *, more_than: int) -> None:
        """Wait until it has told of *event* once more."""
        wait_until(lambda: self.seen[event] > more_than, timeout_seconds=30, what=event)


@contextmanager
def idling(database: str, kafka: providers.Kafka) -> Iterator[Idling]:
    """Give a loop that has published what there is."""
    env = {"OUTBOX_DATABASE_URL": database, "OUTBOX_KAFKA_BOOTSTRAP": kafka.bootstrap}
    loop = Idling(RelaySettings.load(env))
    loop.thread.start()
    try:
        loop.told("relay.mirror.written", more_than=0)
        yield loop
    finally:
        loop.stop.set()
        loop.thread.join(20)


@pytest.fixture
def forge(database: str, kafka: providers.Kafka) -> Callable[[], None]:
    """What writes a record to the progress topic that is none."""

    def write() -> None:
        with psycopg.connect(database) as connection:
            install = connection.execute("select install_id::text from outbox.meta").fetchone()
        assert install is not None
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        producer.produce(f"outbox.{install[0]}.progress", b"hello", b"key", partition=0)
        assert producer.flush(10) == 0

    return write


def test_an_idle_shard_keeps_its_ids_alive_and_its_position_in_sight(
    database: str, kafka: providers.Kafka, forge: Callable[[], None]
) -> None:
    with idling(database, kafka) as shard:
        shard.clock.pass_by(61)
        shard.told("relay.progress.checked", more_than=0)
        committed = shard.seen["relay.page.committed"]
        shard.clock.pass_by(3600)
        shard.told("relay.page.committed", more_than=committed)
        shard.told("relay.progress.checked", more_than=1)
        seen = check(database, kafka.bootstrap)
        assert [(record["seq"], record["n"]) for record in seen.progress][-1] == (1, 0)

        forge()
        checked = shard.seen["relay.progress.checked"]
        shard.clock.pass_by(61)
        wait_until(
            lambda: shard.outcomes or shard.seen["relay.progress.checked"] > checked,
            timeout_seconds=30,
            what="a look at the record",
        )

        assert [outcome.halted for outcome in shard.outcomes] == [
            "expected the last progress record to be ours, got one that no relay wrote"
        ]
