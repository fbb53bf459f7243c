"""A relay that is killed, stopped or cut off at any event of the publish path leaves the topics as if nothing had been.

Killing is cheap, and done at each in `make test`. The rest is marked `chaos`.
"""

import signal
from collections.abc import Callable, Sequence

import psycopg
import pytest

from tests.acceptance.conftest import Insert
from tests.acceptance.matrix.conftest import SMALL_PAGES
from tests.acceptance.matrix.crash_points import CRASH_POINTS, Scene, Stage
from tests.support.checker import check
from tests.support.kafka_network import KafkaNetwork, ProxiedKafka
from tests.support.meeting import Meeting
from tests.support.postgres_proxy import PostgresProxy
from tests.support.pump import later
from tests.support.relays import RelayProcess, Relays
from tests.support.sessions import end_sessions
from tests.support.waiting import wait_until

# Seconds that a relay is cut off: it loses its connections, and tries in vain for some of them.
AWAY = 2.0

# Each is one database: a relay is killed at each place in turn, then a fresh one drains, and all is checked. What is
# told only while a shard bootstraps stands first.
CHAINS = tuple(
    tuple(place for place, scene in CRASH_POINTS.items() if scene is not Scene.IDLE)[first::4] for first in range(4)
)


@pytest.fixture
def stage(database: str, aggregate_type: str, insert: Insert, relays: Relays) -> Stage:
    """What a relay finds."""
    return Stage(database, kind=aggregate_type, insert=insert, relays=relays)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("places", CHAINS, ids=lambda places: places[0])
def test_relays_killed_anywhere_leave_each_event_published_once(
    places: Sequence[str], database: str, broker: ProxiedKafka, relays: Relays, stage: Stage
) -> None:
    for place in places:
        holder = stage.set(CRASH_POINTS[place])
        killed = relays.start("drain", crash_at=place, settings=SMALL_PAGES)
        assert killed.wait() == -signal.SIGKILL, f"{place}: {killed.output}"
        if holder is not None:
            holder.end()

    relays.drain(settings=SMALL_PAGES)

    check(database, broker.bootstrap)


class Breaker:
    """Breaks a relay that waits at a meeting; whatever it is, the relay may go on afterwards, if it lives."""

    def __init__(self, *, database: str, line: PostgresProxy, network: KafkaNetwork, relays: Relays) -> None:
        """Relays reach PostgreSQL by *line* and Kafka by *network*; *relays* reach both without."""
        self._database = database
        self._line = line
        self._network = network
        self._relays = relays

    def kill(self, relay: RelayProcess) -> None:
        """End it."""
        relay.end()

    def stop(self, relay: RelayProcess) -> None:
        """Pause it until another has taken its place and published everything."""
        relay.send(signal.SIGSTOP)
        end_sessions(self._database, relay.process.pid)
        self._relays.drain(settings=SMALL_PAGES)
        relay.send(signal.SIGCONT)

    def cut(self, _relay: RelayProcess) -> None:
        """Take both systems away from it."""
        self._isolate(self._line, self._network)

    def cut_postgresql(self, _relay: RelayProcess) -> None:
        """Take PostgreSQL away from it."""
        self._isolate(self._line)

    def cut_kafka(self, _relay: RelayProcess) -> None:
        """Take Kafka away from it."""
        self._isolate(self._network)

    def end_its_sessions(self, relay: RelayProcess) -> None:
        """End its sessions, as an operator may."""
        end_sessions(self._database, relay.process.pid)

    def _isolate(self, *ways: PostgresProxy | KafkaNetwork) -> None:
        for way in ways:
            way.isolate()
            later(AWAY, way.rejoin)


BREAKS: dict[str, Callable[[Breaker, RelayProcess], None]] = {
    "killed": Breaker.kill,
    "stopped": Breaker.stop,
    "cut off": Breaker.cut,
    "cut off from PostgreSQL": Breaker.cut_postgresql,
    "cut off from Kafka": Breaker.cut_kafka,
    "its sessions ended": Breaker.end_its_sessions,
}


@pytest.fixture
def breaker(database: str, postgres_proxy: PostgresProxy, broker: ProxiedKafka, relays: Relays) -> Breaker:
    """What breaks a relay."""
    return Breaker(database=database, line=postgres_proxy, network=broker.network, relays=relays)


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("place", CRASH_POINTS)
def test_whatever_happens_at_an_event_each_is_published_once(
    *,
    place: str,
    broken: str,
    database: str,
    broker: ProxiedKafka,
    relays: Relays,
    relays_cut_off: Relays,
    stage: Stage,
    breaker: Breaker,
) -> None:
    holder = stage.set(CRASH_POINTS[place])
    with Meeting(place) as meeting:
        relay = relays_cut_off.start("run", meeting=meeting, settings=SMALL_PAGES)
        meeting.wait(timeout_seconds=120)
        if holder is not None:
            holder.end()
        BREAKS[broken](breaker, relay)

    if relay.process.poll() is None:
        wait_until(lambda: all_published(database), timeout_seconds=120, what="everything to be published")
        relay.send(signal.SIGTERM)
        assert relay.wait() == 0, relay.output
    relays.drain(settings=SMALL_PAGES)
    check(database, broker.bootstrap)


def all_published(database: str) -> bool:
    """Return whether a relay has noted that everything which is committed is published."""
    with psycopg.connect(database) as connection:
        noted = connection.execute(
            "select bool_and(confirmed_last is null and not exists (select from outbox.event"
            " where not pg_visible_in_snapshot(tx, coalesce(confirmed_snap, '3:3:')))) from outbox.shard"
        ).fetchone()
    return noted == (True,)
