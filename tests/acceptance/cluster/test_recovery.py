"""How soon events flow again after a broker of three is killed; `pytest -s` prints the figures."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import psycopg
import pytest

from tests.acceptance.conftest import Insert, Verify
from tests.chaos.observer import Observer
from tests.chaos.recovery import Metronome
from tests.support.kafka_cluster import KafkaCluster
from tests.support.relays import Relays
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.chaos.world import World

KILLS = 5
# Seconds.
VISIBLE = 120
STEADY = 1.0


@contextmanager
def beating(database: str, kind: str) -> Iterator[None]:
    """Insert an event every 10 ms, with the moment in it."""
    world = SimpleNamespace(connect=lambda: psycopg.connect(database, autocommit=True))
    with Metronome(cast("World", world), kind).beating():
        yield


def await_flow(observer: Observer) -> None:
    """Return once an event arrives within a second of its insert."""
    wait_until(
        lambda: time.monotonic() - observer.latest_emitted_at < STEADY, timeout_seconds=VISIBLE, what="events to flow"
    )


def seconds_to_next(observer: Observer, fault: Callable[[], None]) -> float:
    """Return the seconds from *fault* to the first sight of an event that was inserted after it."""
    began = time.monotonic()
    observer.first_since(began)
    fault()
    seen = wait_until(lambda: observer.first_since(began), timeout_seconds=VISIBLE, what="an event of after the kill")
    return seen - began


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("target", ["event leader", "coordinator"])
def test_events_flow_again_within_seconds_of_the_kill_of_a_broker(  # noqa: PLR0917 - fixtures
    target: str,
    cluster: KafkaCluster,
    relays: Relays,
    database: str,
    aggregate_type: str,
    insert: Insert,
    event_topic: str,
    installation: str,
    verify: Verify,
) -> None:
    insert(1)
    relays.drain(settings={"topics_partitions": 1})
    targets: dict[str, Callable[[], int]] = {
        "event leader": lambda: cluster.leader_of(event_topic, 0),
        "coordinator": lambda: cluster.coordinator_of(f"{installation}.1.0"),
    }
    observer = Observer(cluster.bootstrap, [event_topic], partitions=1)
    observer.start()
    relays.start("run")
    times = []
    with beating(database, aggregate_type):
        for _ in range(KILLS):
            await_flow(observer)
            node = targets[target]()
            times.append(seconds_to_next(observer, partial(cluster.kill, node)))
            cluster.start(node)
            cluster.wait_until_in_sync()
    observer.stop(30)
    print(f"\n{target}: p50 {statistics.median(times):.2f} s, max {max(times):.2f} s of {sorted(times)}")  # noqa: T201 - asked for
    relays.end()
    verify()
