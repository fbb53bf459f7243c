"""`outbox relay resync`: each stop is resolved by an explicit choice, and nothing is changed without one."""

import json
from collections import Counter
from dataclasses import dataclass

import psycopg
import pytest

from devstack import providers
from tests.acceptance.conftest import Insert
from tests.support.checker import check, read_committed
from tests.support.operators import Operator, Outcome
from tests.support.relays import Relays
from tests.support.topics import TopicAdmin

AGREED = ("--reason", "a test", "--yes")


@dataclass(frozen=True, slots=True)
class Stopped:
    """A shard that published 5 events, of which the mirror knows 2, and whose positions are gone from Kafka; 3 wait."""

    database: str
    bootstrap: str
    relays: Relays
    operator: Operator

    def value(self, statement: str) -> str:
        with psycopg.connect(self.database) as connection:
            row = connection.execute(statement.encode()).fetchone()
        return str(row[0]) if row else ""

    @property
    def progress_topic(self) -> str:
        return self.value("select 'outbox.' || install_id || '.progress' from outbox.meta")

    def resync(self, *arguments: str) -> Outcome:
        return self.operator("relay", "resync", *arguments)

    def published(self) -> dict[int, int]:
        """Return how many events are published how often."""
        topic = self.value("select 'outbox.event.' || min(aggregate_type) from outbox.event")
        records = read_committed(self.bootstrap, [topic])
        return dict(Counter(Counter(record.event_id for record in records).values()))


@pytest.fixture
def operator(database: str, kafka: providers.Kafka, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(database, capsys, {"OUTBOX_KAFKA_BOOTSTRAP": kafka.bootstrap})


@pytest.fixture
def stopped(database: str, kafka: providers.Kafka, relays: Relays, insert: Insert, operator: Operator) -> Stopped:
    shard = Stopped(database, kafka.bootstrap, relays, operator)
    insert(2)
    relays.drain()
    with psycopg.connect(database) as connection:
        connection.execute("create table kept as select * from outbox.shard")
    insert(3)
    relays.drain()
    with psycopg.connect(database) as connection:
        connection.execute(
            "update outbox.shard as s set confirmed_seq = k.confirmed_seq, confirmed_snap = k.confirmed_snap,"
            " confirmed_last = k.confirmed_last from kept as k where k.shard = s.shard"
        )
    TopicAdmin(kafka.bootstrap).delete(shard.progress_topic)
    insert(3)
    return shard


@pytest.mark.parametrize(
    ("choice", "times"),
    [
        ("topics", {1: 8}),
        pytest.param("postgres", {1: 5, 2: 3}, marks=pytest.mark.chaos),
        ("beginning", {1: 3, 2: 5}),
        ("now", {1: 5}),
    ],
)
def test_each_choice_publishes_what_it_said_it_would(choice: str, times: dict[int, int], stopped: Stopped) -> None:
    shown = json.loads(stopped.resync("0", "--json").out)[0]["choices"][choice]

    done = stopped.resync("0", "--from", choice, *AGREED)
    stopped.relays.drain()

    assert done.code == 0, done.err
    assert stopped.published() == times
    assert (shown["twice"]["count"], shown["lose"]["count"]) == (times.get(2, 0), 8 - sum(times.values()))
    assert stopped.value("select halted_reason from outbox.shard") == "None"
    assert stopped.value("select reason from outbox.audit where action = 'resync'") == "a test"
    if choice == "topics":
        assert len(check(stopped.database, stopped.bootstrap).published) == 8


def test_nothing_is_changed_without_a_choice_a_reason_and_a_yes(stopped: Stopped) -> None:
    before = stopped.value("select epoch from outbox.shard")

    looked = stopped.resync("--all")
    unreasoned = stopped.resync("0", "--from", "now", "--yes")
    unasked = stopped.resync("0", "--from", "now", "--reason", "a test")
    impossible = stopped.resync("0", "--from", "kafka", *AGREED)

    assert (looked.code, unreasoned.code, unasked.code, impossible.code) == (0, 2, 2, 3)
    assert "published TWICE" in looked.err
    assert "--reason" in unreasoned.err
    assert "nobody can be asked here" in unasked.err
    assert "states no position: it has no record" in impossible.err
    assert stopped.value("select epoch from outbox.shard") == before


@pytest.mark.parametrize(
    ("crash_at", "resolved"),
    [
        pytest.param("relay.epoch.raised", False, marks=pytest.mark.chaos),
        pytest.param("relay.producer.initialised", False, marks=pytest.mark.chaos),
        ("relay.resync.prepared", False),
        pytest.param("relay.commit.started", False, marks=pytest.mark.chaos),
        ("relay.commit.answered", True),
        pytest.param("relay.resync.committed", True, marks=pytest.mark.chaos),
        ("relay.mirror.written", True),
    ],
)
def test_killed_anywhere_either_the_old_stop_remains_or_the_new_position_is_complete(
    crash_at: str, *, resolved: bool, stopped: Stopped
) -> None:
    killed = stopped.relays.start("resync:topics", crash_at=crash_at)
    assert killed.wait() == -9, killed.output

    after = stopped.relays.start("drain")

    if not resolved:
        assert after.wait() == 3, after.output
        assert stopped.resync("--all", "--from", "topics", *AGREED).code == 0
        after = stopped.relays.start("drain")
    assert after.wait() == 0, after.output
    assert len(check(stopped.database, stopped.bootstrap).published) == 8
