"""One broker of three is killed, paused or restarted under load: the others go on, and nothing is lost or doubled."""

import itertools
import signal
from collections.abc import Callable

import pytest

from tests.acceptance.cluster.conftest import Verify, Writing
from tests.support.kafka_cluster import NODES, KafkaCluster
from tests.support.relays import RelayProcess, Relays

SMALL_PAGES = {"relay_page_rows": 50}
# Seconds. A dead broker's session lasts 4, a client's request 5, a renewal 30; the machine may be busy.
GOES_ON = 90


def await_pages(relay: RelayProcess, count: int) -> None:
    """Return once the relay has committed *count* pages more."""
    before = len(relay.events("relay.page.committed"))
    relay.wait_for("relay.page.committed", count=before + count, timeout_seconds=GOES_ON)


def longest_gap(relay: RelayProcess) -> float:
    """Return the longest time in seconds between two pages."""
    times = [event["at"] for event in relay.events("relay.page.committed")]
    return float(max(later - earlier for earlier, later in itertools.pairwise(times)))


def end_well(relay: RelayProcess) -> None:
    relay.send(signal.SIGTERM)
    assert relay.wait() == 0, relay.output
    assert not relay.events("relay.lease.lost")
    assert not relay.events("relay.dead_letter.written")


@pytest.fixture
def targets(cluster: KafkaCluster, event_topic: str, installation: str) -> dict[str, Callable[[], int]]:
    """By name, what finds the node to strike."""
    return {
        "event leader": lambda: cluster.leader_of(event_topic, 0),
        "progress leader": lambda: cluster.leader_of(f"{installation}.progress", 0),
        "coordinator": lambda: cluster.coordinator_of(f"{installation}.1.0"),
    }


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", ["event leader", "progress leader", "coordinator"])
def test_the_broker_that_leads_is_killed_and_comes_back(  # noqa: PLR0917 - fixtures
    target: str,
    targets: dict[str, Callable[[], int]],
    cluster: KafkaCluster,
    relays: Relays,
    hosts: Writing,
    verify: Verify,
) -> None:
    with hosts():
        relay = relays.start("run", settings=SMALL_PAGES)
        await_pages(relay, 20)
        for _ in range(3):
            node = targets[target]()
            cluster.kill(node)
            await_pages(relay, 10)
            cluster.start(node)
            cluster.wait_until_in_sync()
            await_pages(relay, 5)
        end_well(relay)
    verify()


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", ["event leader", "progress leader", "coordinator"])
def test_the_broker_that_leads_is_paused_past_its_session_and_goes_on(  # noqa: PLR0917 - fixtures
    target: str,
    targets: dict[str, Callable[[], int]],
    cluster: KafkaCluster,
    relays: Relays,
    hosts: Writing,
    verify: Verify,
) -> None:
    with hosts():
        relay = relays.start("run", settings=SMALL_PAGES)
        await_pages(relay, 20)
        for _ in range(2):
            node = targets[target]()
            cluster.pause(node)
            # Another leads only after the session of the paused one has run out.
            assert targets[target]() != node
            await_pages(relay, 10)
            cluster.resume(node)
            cluster.wait_until_in_sync()
            await_pages(relay, 5)
        end_well(relay)
    verify()


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_rolling_restart_under_load_costs_seconds_and_no_lease(
    cluster: KafkaCluster, relays: Relays, hosts: Writing, verify: Verify
) -> None:
    with hosts():
        relay = relays.start("run", settings=SMALL_PAGES)
        await_pages(relay, 20)
        for node in NODES:
            cluster.stop(node)
            await_pages(relay, 5)
            cluster.start(node)
            cluster.wait_until_in_sync()
            await_pages(relay, 5)
        assert longest_gap(relay) < GOES_ON
        end_well(relay)
    verify()
