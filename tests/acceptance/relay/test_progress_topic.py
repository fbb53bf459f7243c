"""The progress topic, changed behind the relay's back: it stops with the reason, and goes on after a resync."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer

from devstack import providers
from relay.window import Progress
from tests.acceptance.conftest import Insert
from tests.support.checker import check, look, read_committed
from tests.support.operators import Operator
from tests.support.relays import Relays
from tests.support.topics import TopicAdmin

FOREIGN = "holds a record that no relay wrote"
OTHERS = "expected the last progress record to be of (install, generation, sysid, shard)"
GONE = "has no record, although shard 0 has published before"


@dataclass(slots=True)
class Topic:
    """The progress topic of one installation, and its last record."""

    bootstrap: str
    name: str
    last: Progress

    @property
    def admin(self) -> TopicAdmin:
        return TopicAdmin(self.bootstrap)

    def write(self, key: bytes, value: bytes | None) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap})
        producer.produce(self.name, value, key, partition=0)
        assert producer.flush(20) == 0

    def make_again(self, policy: str) -> None:
        self.admin.delete(self.name)
        self.admin.create(self.name, partitions=1, config={"cleanup.policy": policy})

    def state(self, **facts: Any) -> None:
        """Write the last record once more, with other *facts*."""
        other = replace(self.last, **facts)
        self.write(other.key, other.encode())


@pytest.fixture
def topic(database: str, kafka: providers.Kafka, relays: Relays, insert: Insert) -> Topic:
    """The progress topic after two windows; an event waits."""
    for _ in range(2):
        insert(2)
        relays.drain()
    insert(1)
    last = Progress(**look(database, kafka.bootstrap, complete=False).progress[-1])
    return Topic(kafka.bootstrap, f"outbox.{last.install}.progress", last)


def of_events(database: str) -> str:
    """Return the topic of the events."""
    with psycopg.connect(database) as connection:
        row = connection.execute("select 'outbox.event.' || min(aggregate_type) from outbox.event").fetchone()
    assert row is not None
    return str(row[0])


def published(topic: Topic, database: str) -> dict[int, int]:
    """Return how many events are published how often."""
    records = read_committed(topic.bootstrap, [of_events(database)])
    return dict(Counter(Counter(record.event_id for record in records).values()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda topic: topic.make_again("compact"), GONE, id="empty", marks=pytest.mark.chaos),
        pytest.param(
            lambda topic: topic.state(install="0b3c1a52-0000-4000-8000-000000000000"), OTHERS, id="other install"
        ),
        pytest.param(lambda topic: topic.state(gen=2), OTHERS, id="other generation", marks=pytest.mark.chaos),
        pytest.param(
            lambda topic: topic.write(b"\xff", b"\xff\x00garbage"), FOREIGN, id="garbage", marks=pytest.mark.chaos
        ),
        pytest.param(lambda topic: topic.write(topic.last.key, None), FOREIGN, id="tombstone", marks=pytest.mark.chaos),
        pytest.param(lambda topic: topic.state(v=2), FOREIGN, id="newer version", marks=pytest.mark.chaos),
    ],
)
def test_what_no_relay_of_ours_wrote_stops_the_relay_until_a_resync(
    *, change: Callable[[Topic], None], reason: str, topic: Topic, database: str, relays: Relays, resync: Operator
) -> None:
    change(topic)

    stopped = relays.start("drain")
    assert stopped.wait() == 3, stopped.output
    assert reason in stopped.output
    shown = json.loads(resync("relay", "resync", "0", "--json").out)[0]["choices"]["topics"]
    assert [shown[name]["count"] for name in ("publish", "twice", "lose")] == [1, 0, 0]
    done = resync("relay", "resync", "0", "--from", "topics", "--reason", "a test", "--yes")
    assert done.code == 0, done.err
    relays.drain()

    assert published(topic, database) == {1: 5}


@pytest.fixture
def resync(database: str, kafka: providers.Kafka, capsys: pytest.CaptureFixture[str]) -> Operator:
    """The command."""
    return Operator(database, capsys, {"OUTBOX_KAFKA_BOOTSTRAP": kafka.bootstrap})


def test_a_topic_made_again_without_compaction_stops_the_relay_until_both_are_put_right(
    topic: Topic, database: str, kafka: providers.Kafka, relays: Relays, resync: Operator
) -> None:
    topic.make_again("delete")

    stopped = relays.start("drain")
    assert stopped.wait() == 3, stopped.output
    assert "to be compact, got delete: retention deletes positions" in stopped.output
    topic.admin.alter(topic.name, "cleanup.policy", "compact")
    stopped = relays.start("drain")
    assert stopped.wait() == 3, stopped.output
    assert GONE in stopped.output
    done = resync("relay", "resync", "0", "--from", "topics", "--reason", "a test", "--yes")
    assert done.code == 0, done.err
    relays.drain()

    assert len(check(database, kafka.bootstrap).published) == 5


@pytest.mark.chaos
def test_a_topic_of_which_compaction_left_the_last_record_is_fine(topic: Topic, database: str, relays: Relays) -> None:
    topic.make_again("compact")
    topic.state()

    relays.drain()

    assert published(topic, database) == {1: 5}


@pytest.mark.chaos
@pytest.mark.parametrize(("choice", "events"), [("postgres", 1), ("topics", 1), ("beginning", 5)])
def test_an_empty_kafka_is_filled_as_it_was_chosen(
    *, choice: str, events: int, topic: Topic, database: str, relays: Relays, resync: Operator
) -> None:
    for name in [name for name in topic.admin.topics() if name in {topic.name, of_events(database)}]:
        topic.admin.delete(name)

    stopped = relays.start("drain")
    assert stopped.wait() == 3, stopped.output
    assert "is gone, and this installation has published before" in stopped.output
    done = resync("relay", "resync", "--all", "--from", choice, "--reason", "a test", "--yes")
    assert done.code == 0, done.err
    relays.drain()

    assert published(topic, database) == {1: events}
