"""Relay processes that are many, are paused, killed, or asked to end; and a broker that is killed under them."""

import random
import signal

import psycopg
import pytest

from tests.acceptance.conftest import Verify, Writing
from tests.support.kafka_network import ProxiedKafka
from tests.support.relays import RelayProcess, Relays
from tests.support.waiting import wait_until

SMALL_PAGES = {"relay_page_rows": 50}
# idle_session_timeout of a relay is 10 s, Kafka's transaction.timeout.ms 15 s.
PAST_THE_SILENCE = 25


def kill_at_random(relays: Relays, *, kills: int, seed: int) -> None:
    """Kill a relay *kills* times, each after a random number of the events that it tells of."""
    chance = random.Random(seed)  # noqa: S311 - replayable, not secret
    for _ in range(kills):
        relay = relays.start("run", settings=SMALL_PAGES)
        events = chance.randrange(5, 150)
        wait_until(lambda: len(relay.events()) >= events, timeout_seconds=40, what=f"{events} events")  # noqa: B023
        relay.end()


def test_relays_killed_at_random(relays: Relays, hosts: Writing, verify: Verify) -> None:
    with hosts():
        kill_at_random(relays, kills=3, seed=1)
    verify()


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [11, 12])
def test_relays_killed_at_random_twenty_times(seed: int, relays: Relays, hosts: Writing, verify: Verify) -> None:
    with hosts(seed=seed):
        kill_at_random(relays, kills=20, seed=seed)
    verify()


def the_publisher(started: list[RelayProcess]) -> RelayProcess | None:
    """Return the one relay that holds the lease and publishes, once all the others stand by."""
    holders = [relay for relay in started if relay.events("relay.lease.granted")]
    assert len(holders) <= 1
    settled = all(relay.events("relay.lease.refused") for relay in started if relay not in holders)
    return holders[0] if holders and settled and holders[0].events("relay.page.committed") else None


@pytest.mark.timeout(300)
def test_ten_relays_at_once_and_whoever_publishes_is_killed(relays: Relays, hosts: Writing, verify: Verify) -> None:
    with hosts():
        started = [relays.start("run", settings=SMALL_PAGES) for _ in range(10)]
        for _ in range(3):
            publishing = wait_until(
                lambda: the_publisher(started), timeout_seconds=100, what="one to publish and the others to stand by"
            )
            publishing.end()
            started.remove(publishing)
        wait_until(lambda: the_publisher(started), timeout_seconds=60, what="one to publish")
        for relay in started:
            relay.send(signal.SIGTERM)
        assert [relay.wait() for relay in started] == [0] * 7
    verify()


ZOMBIE_PLACES = (
    "relay.lease.checked:1",
    "relay.transaction.begun:5",
    "relay.barrier.written:5",
    "relay.commit.started:5",
    "relay.page.committed:5",
)


@pytest.mark.parametrize("place", [ZOMBIE_PLACES[3]])
def test_a_relay_that_was_paused_publishes_nothing_beside_its_successor(
    place: str, relays: Relays, hosts: Writing, verify: Verify
) -> None:
    wake_a_zombie(place, relays, hosts, verify)


@pytest.mark.chaos
@pytest.mark.parametrize("place", [*ZOMBIE_PLACES[:3], ZOMBIE_PLACES[4]])
def test_a_relay_that_was_paused_elsewhere_publishes_nothing_beside_its_successor(
    place: str, relays: Relays, hosts: Writing, verify: Verify
) -> None:
    wake_a_zombie(place, relays, hosts, verify)


def wake_a_zombie(place: str, relays: Relays, hosts: Writing, verify: Verify) -> None:
    with hosts():
        zombie = relays.start("run", pause_at=place, settings=SMALL_PAGES)
        zombie.wait_for(place.partition(":")[0], count=int(place.partition(":")[2]))
        successor = relays.start("run", settings=SMALL_PAGES)
        successor.wait_for("relay.page.committed", count=5, timeout_seconds=PAST_THE_SILENCE)
        committed = len(zombie.events("relay.page.committed"))
        zombie.send(signal.SIGCONT)
        zombie.wait_for("relay.lease.refused", timeout_seconds=30)
        pages = len(successor.events("relay.page.committed"))
        successor.wait_for("relay.page.committed", count=pages + 5, timeout_seconds=30)
        assert len(zombie.events("relay.page.committed")) <= committed + 1
        for relay in (zombie, successor):
            relay.send(signal.SIGTERM)
        assert (zombie.wait(), successor.wait()) == (0, 0)
    verify()


def test_a_relay_that_is_asked_to_end_within_a_large_page(
    database: str, aggregate_type: str, relays: Relays, verify: Verify
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
            " select %s, (n %% 100)::text, 'thing.happened', json_build_object('pad', repeat('x', 3000))"
            " from generate_series(1, 30000) as n",
            (aggregate_type,),
        )
    relays.start("run", crash_at="relay.shard.bootstrapped").wait()
    for place in ("relay.barrier.sent", "relay.page.produced", "relay.commit.started"):
        relay = relays.start("run", settings={"relay_page_rows": 10000, "relay_page_bytes": 100_000_000})
        relay.wait_for(place)
        relay.send(signal.SIGTERM)
        assert relay.wait(timeout_seconds=10) == 0, relay.output
    verify()


def test_drains_beside_a_service(relays: Relays, hosts: Writing, verify: Verify) -> None:
    with hosts():
        service = relays.start("run", settings=SMALL_PAGES)
        service.wait_for("relay.page.committed", count=3)
        drains = [relays.start("drain", settings=SMALL_PAGES) for _ in range(2)]
        service.end()
        drains.append(relays.start("drain", settings=SMALL_PAGES))
        assert [drain.wait() for drain in drains] == [0, 0, 0]
    verify()


def going_on(relay: RelayProcess, relays: Relays, *, pages: int) -> RelayProcess:
    """Return the relay that committed *pages* more: a successor, where Kafka lost the markers of a transaction.

    A broker that is killed after it answered EndTxn and before it wrote the markers may come back and call the
    transaction complete without them (seen on Apache Kafka 4.3.1, a busy machine). Then the relay has to stop, say that
    it was committed, and go on once an operator has ended it so.
    """
    before = len(relay.events("relay.page.committed"))

    def committed_or_over() -> bool:
        return relay.process.poll() is not None or len(relay.events("relay.page.committed")) >= before + pages

    wait_until(committed_or_over, timeout_seconds=90, what=f"{pages} pages, or a relay that stops")
    if relay.process.poll() is None:
        return relay
    assert relay.process.returncode == 3, relay.output
    assert "it was committed" in relay.output, relay.output
    relays.outbox("relay", "hanging", "--end", "--reason", "the broker lost the markers")
    successor = relays.start("run", settings=SMALL_PAGES)
    successor.wait_for("relay.page.committed", count=pages, timeout_seconds=60)
    return successor


def kill_the_broker(times: int, broker: ProxiedKafka, relays: Relays, hosts: Writing, verify: Verify) -> None:
    with hosts():
        relay = relays.start("run", settings=SMALL_PAGES)
        for _ in range(times):
            relay = going_on(relay, relays, pages=20)
            broker.crash()
            broker.start()
        relay = going_on(relay, relays, pages=5)
        relay.send(signal.SIGTERM)
        assert relay.wait() == 0, relay.output
    verify()


def test_the_broker_is_killed_under_load(broker: ProxiedKafka, relays: Relays, hosts: Writing, verify: Verify) -> None:
    kill_the_broker(1, broker, relays, hosts, verify)


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_the_broker_is_killed_under_load_again_and_again(
    broker: ProxiedKafka, relays: Relays, hosts: Writing, verify: Verify
) -> None:
    kill_the_broker(6, broker, relays, hosts, verify)
