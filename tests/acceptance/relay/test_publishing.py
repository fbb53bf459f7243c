"""What a relay publishes, and when: shards, scheduled events, outages, roles."""

import signal
import subprocess
import sys

import psycopg

from devstack import providers
from tests.acceptance.conftest import Insert
from tests.support.checker import check, read_committed
from tests.support.relays import Relays
from tests.support.topics import TopicAdmin
from tests.support.waiting import wait_until


def test_shards_are_published_by_different_relays_each_key_by_one(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("update outbox.meta set shards = 3")
    insert(60, keys=20)

    some = relays.start("run", settings={"test_shards": "0,2", "relay_page_rows": 5})
    other = relays.start("run", settings={"test_shards": "1", "relay_page_rows": 5})
    wait_until(
        lambda: {event["shard"] for event in some.events("relay.window.finished")} == {0, 2},
        timeout_seconds=30,
        what="a window of both shards",
    )
    other.wait_for("relay.window.finished", timeout_seconds=30)
    some.send(signal.SIGKILL)
    other.send(signal.SIGTERM)
    insert(20, keys=20)
    relays.drain()

    check(database, kafka.bootstrap)


def test_a_scheduled_event_is_published_when_it_is_due_and_not_before(
    database: str, kafka: providers.Kafka, relays: Relays, aggregate_type: str
) -> None:
    topic = f"outbox.event.{aggregate_type}"
    with psycopg.connect(database) as connection:
        for due in ("1 day", "-1 second"):
            connection.execute(
                "select outbox.schedule('thing.due', %s, 'k', '{}'::json, null, now() + %s::interval)",
                (aggregate_type, due),
            )
    relays.drain()
    assert len(read_committed(kafka.bootstrap, [topic])) == 1

    relay = relays.start("run")
    relay.wait_for("relay.position.accepted")
    with psycopg.connect(database) as connection:
        connection.execute("update outbox.scheduled set due_at = now() + interval '1 second'")

    relay.wait_for("relay.schedule.released")
    relay.wait_for("relay.page.committed")
    assert len(check(database, kafka.bootstrap).published) == 2


def test_a_topic_is_made_as_the_settings_say(
    kafka: providers.Kafka, relays: Relays, insert: Insert, aggregate_type: str
) -> None:
    insert(1)

    relays.drain(settings={"topics_partitions": 5, "relay_route": "made.{aggregate_type}"})

    topics = TopicAdmin(kafka.bootstrap)
    assert topics.topics()[f"made.{aggregate_type}"] == 5
    assert topics.config(f"made.{aggregate_type}")["min.insync.replicas"] == "1"


def test_a_relay_goes_on_after_postgresql_has_crashed(
    postgres: providers.Postgres, database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(5)
    relay = relays.start("run", settings={"relay_page_rows": 2})
    relay.wait_for("relay.window.finished")

    postgres.crash()
    postgres.start()
    insert(5)

    relay.wait_for("relay.position.accepted", count=2)
    relay.wait_for("relay.window.finished", count=2)
    relay.send(signal.SIGTERM)
    assert relay.wait() == 0
    check(database, kafka.bootstrap)


def test_the_role_of_the_relay_is_all_that_it_needs(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("drop role if exists relay_login")
        connection.execute("create role relay_login login password 'relay' in role outbox_relay")
    login = f"postgresql://relay_login:relay@{database.partition('@')[2]}"
    insert(3)
    insert(1, key="sick", pad=1_200_000)
    insert(1, key="sick")
    relays.drain(settings={"database_url": login})
    with psycopg.connect(database) as connection:
        connection.execute("select outbox.discard(id, 'gone') from outbox.dead_letter where parks")

    relays.drain(settings={"database_url": login})

    assert len(check(database, kafka.bootstrap).published) == 4


def test_the_position_can_be_looked_at(database: str, kafka: providers.Kafka, relays: Relays, insert: Insert) -> None:
    insert(3)
    relays.drain()

    shown = subprocess.run(
        [sys.executable, "-m", "relay", "position"],
        env={"OUTBOX_DATABASE_URL": database, "OUTBOX_KAFKA_BOOTSTRAP": kafka.bootstrap},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "shard 0: the position fits: window 1, finished" in shown.stdout
