"""Rule 9: a relay that is stopped just before it gives an event up, and finds that its successor has published it."""

import signal

import psycopg

from devstack import providers
from tests.acceptance.conftest import Insert
from tests.support.checker import check
from tests.support.relays import Relays
from tests.support.topics import TopicAdmin
from tests.support.waiting import wait_until


def end_session(database: str, pid: object) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(%s)", [pid])


def letters(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("select count(*) from outbox.dead_letter").fetchone()
    assert row is not None
    return int(row[0])


def test_a_zombie_gives_up_no_event_that_its_successor_has_published(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert, aggregate_type: str
) -> None:
    topic = f"outbox.event.{aggregate_type}"
    admin = TopicAdmin(kafka.bootstrap)
    admin.create(topic, config={"max.message.bytes": "20000"})
    insert(3)
    insert(1, key="large", pad=50_000)
    zombie = relays.start("run", pause_at="relay.event.struck:2", settings={"relay_poison_policy": "skip"})
    zombie.wait_for("relay.event.struck", count=2)
    admin.alter(topic, "max.message.bytes", "100000")
    end_session(database, zombie.wait_for("relay.session.opened")["pid"])
    successor = relays.start("run")
    successor.wait_for("relay.window.finished", timeout_seconds=60)

    zombie.send(signal.SIGCONT)
    zombie.wait_for("relay.lease.lost", timeout_seconds=60)

    assert letters(database) == 0
    wait_until(lambda: len(zombie.events("relay.lease.refused")) > 2, timeout_seconds=60, what="it to stand by")
    assert len(check(database, kafka.bootstrap).published) == 4


def test_a_dead_letter_under_an_epoch_that_has_ended_is_refused(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert, aggregate_type: str
) -> None:
    admin = TopicAdmin(kafka.bootstrap)
    admin.create(topic := f"outbox.event.{aggregate_type}", config={"max.message.bytes": "20000"})
    insert(3)
    insert(1, key="large", pad=50_000)
    zombie = relays.start("run", pause_at="relay.event.struck:2", settings={"relay_poison_policy": "skip"})
    zombie.wait_for("relay.event.struck", count=2)
    admin.alter(topic, "max.message.bytes", "100000")
    with psycopg.connect(database) as connection:
        # Its session and its lock are left alone: nothing but the epoch stands in its way.
        connection.execute("update outbox.shard set epoch = epoch + 1")

    zombie.send(signal.SIGCONT)

    assert "epoch" in zombie.wait_for("relay.lease.lost", timeout_seconds=60)["reason"]
    zombie.wait_for("relay.window.finished", timeout_seconds=60)
    assert letters(database) == 0
    assert len(check(database, kafka.bootstrap).published) == 4
