"""What a relay has beside publishing: retention, metrics, readiness, and a blocked shard that recovers by itself."""

import signal
import urllib.error
import urllib.request
from contextlib import closing

import psycopg

from devstack import providers
from devstack.processes import free_port
from tests.acceptance.conftest import Insert
from tests.support.checker import check, read_committed
from tests.support.kafka_network import Action, Api, Fault, KafkaNetwork
from tests.support.relays import Relays
from tests.support.topics import TopicAdmin
from tests.support.waiting import wait_until


def get(port: int, path: str) -> tuple[int, str]:
    """Return status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def halted_reason(database: str) -> str:
    with psycopg.connect(database) as connection:
        row = connection.execute("select halted_reason from outbox.shard where shard = 0").fetchone()
    assert row is not None
    return str(row[0])


def test_confirmed_events_are_deleted_with_age_and_the_relay_goes_on(
    database: str, relays: Relays, insert: Insert
) -> None:
    relay = relays.start(
        "run", settings={"relay_retention_days": "0.000001", "relay_retention_interval_seconds": "0.3"}
    )
    for number in (1, 2, 3):
        insert(4)
        relay.wait_for("relay.window.finished", count=number)
    relay.wait_for("relay.events.pruned")

    def remaining() -> bool:
        with psycopg.connect(database) as connection:
            return connection.execute("select count(*) from outbox.event").fetchone() == (4,)

    wait_until(remaining, timeout_seconds=20, what="the events of all windows but the last to be gone")
    relay.send(signal.SIGKILL)
    insert(1)
    relays.drain()


def test_metrics_and_readiness_tell_how_it_stands(relays: Relays, insert: Insert) -> None:
    port, other = free_port(), free_port()
    insert(7)
    insert(1, key="sick", topic="not a topic")
    first = relays.start("run", settings={"metrics_port": port, "relay_retention_interval_seconds": "0.3"})
    first.wait_for("relay.dead_letter.written")
    standby = relays.start("run", settings={"metrics_port": other})
    standby.wait_for("relay.lease.refused")

    assert get(port, "/livez") == (200, "live\n")
    assert get(port, "/readyz")[0] == 200
    assert get(other, "/readyz") == (200, "shard 0: standing by: another relay holds the lease\n")
    page = wait_until(
        lambda: body if 'outbox_backlog_events{shard="0"} 0.0' in (body := get(port, "/metrics")[1]) else None,
        timeout_seconds=20,
        what="an empty backlog in the metrics",
    )
    assert 'outbox_relay_events_published_total{shard="0"} 7.0' in page
    assert 'outbox_relay_lease_held{shard="0"} 1.0' in page
    assert 'outbox_publish_dead_letters{reason="invalid_topic"} 1.0' in page


def test_a_blocked_shard_says_so_and_goes_on_once_its_event_can_be_published(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert, aggregate_type: str
) -> None:
    topic, port = f"outbox.event.{aggregate_type}", free_port()
    admin = TopicAdmin(kafka.bootstrap)
    admin.create(topic, config={"max.message.bytes": "20000"})
    insert(1, key="large", pad=50_000)
    insert(2)
    relay = relays.start("run", settings={"relay_poison_policy": "block", "metrics_port": port})
    relay.wait_for("relay.shard.blocked")
    status, said = get(port, "/readyz")
    assert status == 503
    assert "is blocked by event" in said
    assert 'outbox_relay_shard_halted{shard="0"} 1.0' in get(port, "/metrics")[1]
    assert "is blocked by event" in halted_reason(database)

    admin.alter(topic, "max.message.bytes", "100000")

    wait_until(lambda: get(port, "/readyz")[0] == 200, timeout_seconds=30, what="the shard to go on")
    relay.wait_for("relay.window.finished")
    assert 'outbox_relay_shard_halted{shard="0"} 0.0' in get(port, "/metrics")[1]
    assert halted_reason(database) == "None"
    relay.send(signal.SIGTERM)
    assert relay.wait() == 0
    assert len(check(database, kafka.bootstrap).published) == 3


def test_a_shard_that_cannot_publish_is_not_ready_although_each_renewal_succeeds(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    port, network = free_port(), KafkaNetwork.before(kafka.bootstrap)
    with closing(network):
        relay = relays.start("run", settings={"metrics_port": port, "kafka_bootstrap": network.bootstrap})
        relay.wait_for("relay.shard.recovered")
        network.inject(Fault(Api.PRODUCE, Action.LOSE_REQUEST, times=1_000_000))
        insert(1)

        relay.wait_for("relay.position.accepted", count=2, timeout_seconds=60)

        status, said = get(port, "/readyz")
        assert status == 503
        assert "commit_transaction: _TIMED_OUT" in said
        network.calm()
        network.cut_all()
        relay.wait_for("relay.shard.recovered", count=2, timeout_seconds=60)
        assert get(port, "/readyz")[0] == 200
    assert len(check(database, kafka.bootstrap).published) == 1


def test_a_topic_that_is_deleted_under_way_is_made_again(
    kafka: providers.Kafka, relays: Relays, insert: Insert, aggregate_type: str
) -> None:
    topic = f"outbox.event.{aggregate_type}"
    insert(3)
    relay = relays.start("run")
    relay.wait_for("relay.window.finished")
    admin = TopicAdmin(kafka.bootstrap)
    admin.delete(topic)
    wait_until(lambda: topic not in admin.topics(), timeout_seconds=10, what="the topic to be gone")

    insert(3)

    relay.wait_for("relay.window.finished", count=2, timeout_seconds=40)
    assert len(read_committed(kafka.bootstrap, [topic])) == 3
