"""`outbox relay resync`: each stop is resolved by an explicit choice, and nothing is changed without one."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka import Producer
from psycopg import sql

from devstack import providers
from relay.lease import LOCK_SPACE
from relay.resync.deciding import Choice, Identity
from relay.resync.errors import ChangedMeanwhileError
from relay.resync.running import Request, execute, look
from relay.resync.writing import Plan
from tests.acceptance.conftest import Insert
from tests.support.checker import check, read_committed
from tests.support.operators import Operator, Outcome
from tests.support.relays import Relays, relays_on
from tests.support.servers import address
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
    then = shard.value("select pg_current_snapshot()")
    insert(3)
    relays.drain()
    with psycopg.connect(database) as connection:
        connection.execute("update outbox.shard set confirmed_seq = 0, confirmed_snap = %s", [then])
    TopicAdmin(kafka.bootstrap).delete(shard.progress_topic)
    insert(3)
    return shard


@pytest.mark.parametrize(
    ("choice", "times"),
    [
        ("topics", {1: 8}),
        pytest.param("postgres", {1: 5, 2: 3}, marks=pytest.mark.chaos),
        ("beginning", {1: 3, 2: 5}),
        pytest.param("now", {1: 5}, marks=pytest.mark.chaos),
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
    assert stopped.operator("verify").code == (0 if choice == "topics" else 1)


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


@pytest.mark.chaos
def test_it_takes_the_roles_of_the_relay_and_of_an_operator(
    stopped: Stopped, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = {}
    for roles in ("outbox_relay", "outbox_operator", "outbox_relay, outbox_operator"):
        with login(stopped.database, roles) as dsn:
            command = Operator(dsn, capsys, {"OUTBOX_KAFKA_BOOTSTRAP": stopped.bootstrap})
            done = command("relay", "resync", "0", "--from", "topics", *AGREED)
            codes[roles] = (done.code, "a member of outbox_relay and of outbox_operator" in done.err)

    assert codes == {
        "outbox_relay": (1, True),
        "outbox_operator": (1, True),
        "outbox_relay, outbox_operator": (0, False),
    }


@contextmanager
def login(dsn: str, roles: LiteralString) -> Iterator[str]:
    """Give the address for a login that is a member of *roles* alone."""
    name = f"resync_{uuid4().hex[:8]}"
    names = {"name": sql.Identifier(name), "roles": sql.SQL(roles)}
    host = psycopg.conninfo.conninfo_to_dict(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("create role {name} login password 'x' in role {roles}").format(**names))
        try:
            yield f"postgresql://{name}:x@{host['host']}:{host['port']}/{host['dbname']}"
        finally:
            connection.execute(sql.SQL("drop role {name}").format(**names))


# What happens to the history, and what the relay says of it; `resync 0` resolves each.
CHANGES = (
    ("delete from outbox.batch where seq = (select max(seq) from outbox.batch)", "has no row for window"),
    ("update outbox.batch set b = '3:9:' where seq = (select max(seq) from outbox.batch)", "disagree on the snapshots"),
    ("update outbox.batch set epoch = epoch - 1", "and outbox.batch has it of epoch"),
    ("update outbox.shard set pruned_seq = confirmed_seq + 5", "is pruned"),
    ("update outbox.shard set confirmed_seq = confirmed_seq + 9", "was confirmed: Kafka lost it"),
    ("update outbox.meta set generation = generation + 1", "to be of (install, generation, sysid, shard)"),
    ("update outbox.shard set epoch = 1", "it lost history"),
)


def resolved(stopped: Stopped, reason: str, *identity: str) -> None:
    """See the relay stop for *reason* and name the command, and go on after it, with one event more."""
    halted = stopped.relays.start("drain")
    assert halted.wait() == 3, halted.output
    assert reason in halted.output
    named = "--all --from topics" if identity else "outbox relay resync 0 --from topics"
    assert named in halted.output
    assert "resolve: outbox relay resync" in stopped.value("select halted_reason from outbox.shard")
    done = stopped.resync("--all", "--from", "topics", *AGREED, *identity)
    assert done.code == 0, done.err
    with psycopg.connect(stopped.database) as connection:
        connection.execute(
            "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
            " select min(aggregate_type), 'later', 'thing.happened', '{}' from outbox.event"
        )
    stopped.relays.drain()


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_each_stop_is_resolved_by_the_command_that_it_names(stopped: Stopped) -> None:
    resolved(stopped, "is gone, and this installation has published before")

    for change, reason in CHANGES:
        with psycopg.connect(stopped.database) as connection:
            connection.execute(change.encode())
        resolved(stopped, reason)

    assert len(check(stopped.database, stopped.bootstrap).published) == 8 + 1 + len(CHANGES)


@pytest.mark.chaos
def test_a_record_that_no_relay_wrote_is_gone_past(stopped: Stopped) -> None:
    topics = TopicAdmin(stopped.bootstrap)
    topics.create(stopped.progress_topic, partitions=1, config={"cleanup.policy": "compact"})
    resolved(stopped, "has no record, although shard 0 has published before")
    producer = Producer({"bootstrap.servers": stopped.bootstrap})
    producer.produce(stopped.progress_topic, b"hello", b"key", partition=0)
    producer.flush(10)

    resolved(stopped, "holds a record that no relay wrote")

    assert len(check(stopped.database, stopped.bootstrap).published) == 10


def test_what_was_shown_is_not_carried_out_on_a_shard_that_is_held_or_has_moved_on(stopped: Stopped) -> None:
    env = {"OUTBOX_DATABASE_URL": stopped.database, "OUTBOX_KAFKA_BOOTSTRAP": stopped.bootstrap}
    request = Request((0,), Choice.TOPICS, Identity.AS_IT_IS, None)
    plan = look(env, request)[0].plan(Choice.TOPICS, "a test")
    assert isinstance(plan, Plan)
    done: list[Plan] = []

    with psycopg.connect(stopped.database) as connection:
        connection.execute("select pg_advisory_lock(%s, 0)", [LOCK_SPACE])
        held = stopped.resync("0", "--from", "topics", *AGREED)
    execute(env, [plan], done=done.append)

    assert (held.code, "expected nobody to hold the lease on shard 0" in held.err) == (1, True)
    assert done == [plan]
    with pytest.raises(ChangedMeanwhileError, match="there is another progress record"):
        execute(env, [plan], done=done.append)
    stopped.relays.drain()
    assert len(check(stopped.database, stopped.bootstrap).published) == 8


def test_a_position_within_a_window_goes_on_within_it(stopped: Stopped) -> None:
    assert stopped.resync("--all", "--from", "topics", *AGREED).code == 0
    stopped.relays.start("drain", crash_at="relay.page.committed", settings={"relay_page_rows": 1}).wait()
    producer = Producer({"bootstrap.servers": stopped.bootstrap})
    producer.produce(stopped.progress_topic, b"hello", b"key", partition=0)
    producer.flush(10)

    resolved(stopped, "holds a record that no relay wrote")

    former = stopped.value("select detail->'former'->>'last_id' from outbox.audit order by id desc limit 1")
    assert stopped.value("select detail->'position'->>'last_id' from outbox.audit order by id desc limit 1") == former
    assert int(former) > 0
    assert len(check(stopped.database, stopped.bootstrap).published) == 9


@pytest.mark.chaos
def test_the_last_record_is_trusted_where_only_rows_of_windows_were_lost(stopped: Stopped) -> None:
    assert stopped.resync("0", "--from", "topics", *AGREED).code == 0
    stopped.relays.drain()
    with psycopg.connect(stopped.database) as connection:
        connection.execute("delete from outbox.batch")
    assert stopped.relays.start("drain").wait() == 3

    done = stopped.resync("0", "--from", "kafka", *AGREED)
    stopped.relays.drain()

    assert done.code == 0, done.err
    assert len(check(stopped.database, stopped.bootstrap).published) == 8


@pytest.mark.chaos
def test_from_the_beginning_comes_again_what_was_left_out_before(stopped: Stopped) -> None:
    assert stopped.resync("0", "--from", "topics", *AGREED).code == 0
    stopped.relays.drain()
    shown = json.loads(stopped.resync("0", "--json").out)[0]

    assert stopped.resync("0", "--from", "beginning", *AGREED).code == 0
    stopped.relays.drain()

    assert (shown["choices"]["beginning"]["twice"]["count"], shown["left_out_before"]) == (5, 3)
    assert stopped.published() == {2: 8}


def test_another_cluster_is_accepted_only_by_saying_what_became_of_the_former(stopped: Stopped) -> None:
    with psycopg.connect(stopped.database) as connection:
        connection.execute("update outbox.meta set sysid = sysid + 1")
    stopped.relays.start("drain").wait()

    unsaid = stopped.resync("--all", "--from", "topics", *AGREED)
    resolved(stopped, "belongs to another cluster", "--same-install")

    assert unsaid.code == 2
    assert "--same-install" in unsaid.err
    assert (
        stopped.value("select sysid = (select system_identifier from pg_control_system()) from outbox.meta") == "True"
    )
    assert len(check(stopped.database, stopped.bootstrap).published) == 9
    assert stopped.value("select count(*) from outbox.audit where action = 'adopt_history'") == "1"


def test_a_copy_within_the_cluster_gets_a_name_of_its_own_and_leaves_the_original_alone(
    stopped: Stopped, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped.resync("--all", "--from", "topics", *AGREED)
    stopped.relays.drain()
    with copied(stopped.database) as copy, relays_on(copy, stopped.bootstrap, tmp_path) as relays:
        command = Operator(copy, capsys, {"OUTBOX_KAFKA_BOOTSTRAP": stopped.bootstrap})
        twin = replace(stopped, database=copy, relays=relays, operator=command)
        instead = twin.resync("--all", "--from", "now", *AGREED, "--same-install")
        resolved(twin, "is a copy within its cluster", "--new-install")

        assert instead.code == 3
        assert "the original database is still in this cluster" in instead.err
        assert twin.progress_topic != stopped.progress_topic
    stopped.relays.drain()
    assert stopped.published() == {1: 9}


@contextmanager
def copied(dsn: str) -> Iterator[str]:
    """Give the address of a copy of a database, made within its cluster."""
    name = f"{psycopg.conninfo.conninfo_to_dict(dsn)['dbname']}_copy"
    names = {"copy": sql.Identifier(name), "name": sql.Identifier(name.removesuffix("_copy"))}
    with psycopg.connect(address(dsn, "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {copy} template {name}").format(**names))
        try:
            yield address(dsn, name)
        finally:
            connection.execute(sql.SQL("drop database {copy} with (force)").format(**names))
