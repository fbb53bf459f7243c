"""Too few replicas: a relay waits, loses nothing, and says which partitions of which topic lack which brokers."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import folders
from devstack.processes import free_port
from tests.acceptance.cluster.test_brokers import GOES_ON, SMALL_PAGES, await_pages, end_well
from tests.acceptance.conftest import Insert, Verify, Writing
from tests.support.checker import check
from tests.support.kafka_cluster import KafkaCluster
from tests.support.operators import Operator
from tests.support.relays import RelayProcess, Relays, relays_on
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


@pytest.fixture(scope="session")
def steady_brokers() -> Iterator[KafkaCluster]:
    """Three brokers, of which the first decides by itself who leads: the others may be away at once."""
    folder = folders.new_run_folder()
    started = KafkaCluster.started(folder, voters=(1,))
    yield started
    started.close()
    folders.remove(folder)


@pytest.fixture(params=["the controllers decide", "the controllers have no majority"])
def broker(request: pytest.FixtureRequest, steady_brokers: KafkaCluster, three_brokers: KafkaCluster) -> KafkaCluster:
    decides = request.param == "the controllers decide"
    chosen = steady_brokers if decides else three_brokers
    chosen.heal()
    return chosen


def readiness(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return f"{answer.status} {answer.read().decode()}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
    except OSError as error:
        return str(error)


def wait_until_said(port: int, words: list[str]) -> None:
    """Return once readiness says each of *words*."""

    def said() -> bool:
        found = readiness(port)
        assert [word for word in words if word not in found] == [], found
        return True

    wait_until(said, timeout_seconds=GOES_ON, what=f"readiness to say {words}")


def last_short(relay: RelayProcess) -> str:
    return str(relay.events("relay.kafka.short")[-1]["reason"])


def test_a_relay_waits_for_replicas_and_says_which_are_missing(  # noqa: PLR0917 - fixtures
    cluster: KafkaCluster,
    relays: Relays,
    hosts: Writing,
    verify: Verify,
    database: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = free_port()
    outbox = Operator(database, capsys, {"OUTBOX_KAFKA_BOOTSTRAP": cluster.bootstrap})
    with hosts():
        relay = relays.start("run", settings={**SMALL_PAGES, "metrics_port": port})
        await_pages(relay, 20)

        cluster.kill(2)
        await_pages(relay, 5)
        cluster.kill(3)

        wait_until_said(port, ["503", "waiting for Kafka", "1 in sync of min 2, missing broker 2, 3"])
        halved = len(relay.events("relay.page.halved"))
        relay.wait_for("relay.kafka.short", count=2, timeout_seconds=GOES_ON)
        assert "missing broker 2, 3" in last_short(relay)
        assert "shard 0 waits since" in outbox("status").out
        (shard,) = outbox.json("status")["shards"]
        assert "1 in sync of min 2, missing broker 2, 3" in shard["halted_reason"]
        checks = {check["check"]: check for check in outbox.json("doctor")["checks"]}
        assert checks["relay.shard_0"]["mark"] == "failed"
        assert checks["kafka.in_sync"]["mark"] == "failed"
        assert "missing broker 2, 3" in checks["kafka.in_sync"]["actual"]
        assert len(relay.events("relay.page.halved")) == halved, "a smaller page would not be taken either"

        cluster.start(2)
        await_pages(relay, 5)
        wait_until_said(port, ["200"])
        assert outbox.json("status")["shards"][0]["halted_reason"] is None
        checks = {check["check"]: check for check in outbox.json("doctor")["checks"]}
        assert (checks["kafka.in_sync"]["mark"], checks["kafka.replicas"]["mark"]) == ("good", "warned")
        cluster.start(3)
        end_well(relay)
    verify()


def test_topics_that_are_made_while_a_broker_is_away_have_three_replicas(  # noqa: PLR0917 - fixtures
    cluster: KafkaCluster, relays: Relays, insert: Insert, event_topic: str, installation: str, verify: Verify
) -> None:
    cluster.kill(3)
    insert(3)

    drained = relays.drain()

    assert not drained.events("relay.topic.unsafe")
    for topic in (event_topic, f"{installation}.progress"):
        assert cluster.replication_of(topic) == (3, "2")
    verify()


def test_a_relay_waits_for_the_third_broker_where_only_its_settings_speak_of_it(
    database: str, insert: Insert, event_topic: str, tmp_path: Path
) -> None:
    folder = folders.new_run_folder()
    young = KafkaCluster.started(folder, 1, 2)
    try:
        with relays_on(database, young.bootstrap, tmp_path) as relays:
            insert(3)
            relay = relays.start("run")
            failed = relay.wait_for("relay.renewal.failed", timeout_seconds=GOES_ON)
            assert "waits for 3 brokers, 2 answer and 3 are expected" in failed["reason"]

            young.start(3)
            await_pages(relay, 1)

            assert young.replication_of(event_topic) == (3, "2")
            end_well(relay)
        assert len(check(database, young.bootstrap).published) == 3
    finally:
        young.close()
        folders.remove(folder)
