"""One broker of three is killed, paused or restarted under load: the others go on, and nothing is lost or doubled."""

import itertools
import signal
from collections.abc import Callable, Mapping

import pytest

from relay.replicas import partition_of
from tests.acceptance.conftest import Verify, Writing
from tests.support.kafka_cluster import NODES, TRANSACTION_LOG, KafkaCluster
from tests.support.relays import RelayProcess, Relays

Target = Callable[[], int]

SMALL_PAGES = {"relay_page_rows": 50}
# Seconds. A dead broker's session lasts 4, a client's request 5, a renewal 30; the machine may be busy.
GOES_ON = 90
# By name: what is done to a node, how it comes back, and how often, in one run.
STRIKES: Mapping[str, tuple[Callable[[KafkaCluster, int], None], Callable[[KafkaCluster, int], None], int]] = {
    "killed": (KafkaCluster.kill, KafkaCluster.start, 3),
    "paused": (KafkaCluster.pause, KafkaCluster.resume, 2),
}


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


def strike(name: str, cluster: KafkaCluster, find: Target, relay: RelayProcess) -> None:
    """Strike the node that *find* finds, see the relay go on without it, and have it back."""
    hit, mend, _ = STRIKES[name]
    node = find()
    hit(cluster, node)
    assert find() != node, "another leads once the session of the one that is gone has run out"
    await_pages(relay, 10)
    mend(cluster, node)
    cluster.wait_until_in_sync()
    await_pages(relay, 5)


@pytest.fixture
def targets(cluster: KafkaCluster, event_topic: str, installation: str) -> dict[str, Target]:
    """By name, what finds the node to strike."""
    return {
        "event leader": lambda: cluster.leader_of(event_topic, 0),
        "progress leader": lambda: cluster.leader_of(f"{installation}.progress", 0),
        "coordinator": lambda: cluster.coordinator_of(f"{installation}.1.0"),
    }


def test_the_leader_is_killed_and_the_others_go_on(
    targets: dict[str, Target], cluster: KafkaCluster, relays: Relays, hosts: Writing, verify: Verify
) -> None:
    with hosts():
        relay = relays.start("run", settings=SMALL_PAGES)
        await_pages(relay, 5)
        cluster.kill(targets["event leader"]())
        await_pages(relay, 10)
        end_well(relay)
    verify()


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", ["event leader", "progress leader", "coordinator"])
@pytest.mark.parametrize("name", STRIKES)
def test_the_broker_that_leads_is_gone_for_a_while_and_comes_back(  # noqa: PLR0917 - fixtures
    name: str,
    target: str,
    targets: dict[str, Target],
    cluster: KafkaCluster,
    relays: Relays,
    hosts: Writing,
    verify: Verify,
) -> None:
    with hosts():
        relay = relays.start("run", settings=SMALL_PAGES)
        await_pages(relay, 20)
        for _ in range(STRIKES[name][2]):
            strike(name, cluster, targets[target], relay)
        end_well(relay)
    verify()


@pytest.mark.chaos
def test_the_coordinator_is_the_leader_of_the_partition_that_we_say(
    cluster: KafkaCluster, relays: Relays, installation: str
) -> None:
    relays.drain()
    name = f"{installation}.1.0"

    leader = cluster.leader_of(TRANSACTION_LOG, partition_of(name, cluster.partitions_of(TRANSACTION_LOG)))

    assert leader == cluster.coordinator_of(name)


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
