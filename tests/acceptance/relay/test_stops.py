"""Exit code 3: a position that does not fit is never guessed at. And plain errors for what is plainly wrong."""

import psycopg
import pytest
from confluent_kafka import Producer

from devstack import providers
from tests.acceptance.conftest import Insert
from tests.support.checker import check
from tests.support.relays import RelayProcess, Relays
from tests.support.topics import TopicAdmin


def change(database: str, statement: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(statement)


def install(database: str) -> str:
    with psycopg.connect(database) as connection:
        row = connection.execute("select install_id::text from outbox.meta").fetchone()
    assert row is not None
    return str(row[0])


def halted_reason(database: str) -> str:
    with psycopg.connect(database) as connection:
        row = connection.execute("select halted_reason from outbox.shard where shard = 0").fetchone()
    assert row is not None
    return str(row[0])


def stopped(relays: Relays) -> RelayProcess:
    relay = relays.start("drain")
    assert relay.wait() == 3, relay.output
    assert "outbox relay position" in relay.output
    assert "docs/operations.md" in relay.output
    return relay


# What somebody does to the history, what the relay says of it, and how it is put right.
CHANGES = (
    (
        "update outbox.meta set sysid = sysid + 1",
        "belongs to another cluster",
        "update outbox.meta set sysid = sysid - 1",
    ),
    (
        "create table kept as select * from outbox.batch; delete from outbox.batch where seq = 1",
        "has no row for window 1",
        "insert into outbox.batch select * from kept where seq = 1",
    ),
    (
        "update outbox.batch set b = '3:9:' where seq = 1",
        "disagree on the snapshots of window 1",
        "update outbox.batch set b = kept.b from kept where kept.seq = 1 and batch.seq = 1",
    ),
    ("update outbox.shard set pruned_seq = 2", "what precedes 2 is pruned", "update outbox.shard set pruned_seq = 0"),
    (
        "update outbox.shard set confirmed_seq = 7",
        "7 was confirmed: Kafka lost it",
        "update outbox.shard set confirmed_seq = 1",
    ),
    (
        "update outbox.meta set generation = 2",
        "to be of (install, generation, sysid, shard)",
        "update outbox.meta set generation = 1",
    ),
    (
        "alter table outbox.event alter id set cache 20",
        "to have cache 1, got 20",
        "alter table outbox.event alter id set cache 1",
    ),
    (
        "update outbox.shard set epoch = epoch - 1000000",  # a takeover raises it by up to a thousand
        "it lost history",
        "update outbox.shard set epoch = epoch + 1000000",
    ),
)


def test_each_change_of_history_stops_the_relay_until_it_is_put_right(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(2)
    relays.drain()
    insert(2)

    for change_it, reason, put_it_right in CHANGES:
        change(database, change_it)
        assert reason in stopped(relays).output
        assert reason in halted_reason(database)
        change(database, put_it_right)
    relays.drain()

    assert halted_reason(database) == "None"
    check(database, kafka.bootstrap)


def test_a_progress_topic_that_is_gone_stops_the_relay_and_is_not_made_again(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(2)
    relays.drain()
    topics, progress = TopicAdmin(kafka.bootstrap), f"outbox.{install(database)}.progress"
    topics.delete(progress)

    relay = stopped(relays)

    assert "is gone, and this installation has published before" in relay.output
    assert progress not in topics.topics()


def test_an_emptied_progress_topic_stops_the_relay(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(2)
    relays.drain()
    topics, progress = TopicAdmin(kafka.bootstrap), f"outbox.{install(database)}.progress"
    topics.delete(progress)
    topics.create(progress, partitions=1, config={"cleanup.policy": "compact"})

    assert "has no record, although shard 0 has published before" in stopped(relays).output


def test_a_record_that_no_relay_wrote_stops_the_relay(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(2)
    relays.drain()
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(f"outbox.{install(database)}.progress", b"hello", b"key", partition=0)
    producer.flush(10)

    assert "holds a record that no relay wrote" in stopped(relays).output


def test_a_progress_topic_that_would_be_deleted_by_time_is_refused(
    database: str, kafka: providers.Kafka, relays: Relays
) -> None:
    TopicAdmin(kafka.bootstrap).create(
        f"outbox.{install(database)}.progress", partitions=1, config={"cleanup.policy": "delete"}
    )

    relay = relays.start("drain")

    assert relay.wait() == 1
    assert "to be compact, got delete" in relay.output


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"kafka_bootstrap": "127.0.0.1:1"}, 1, "cannot reach Kafka at 127.0.0.1:1: nothing listens there"),
        ({"relay_envelope": "xml"}, 2, "expected an envelope of"),
        ({"kafka_options": '{"acsk": "1"}'}, 2, "acsk"),
        ({"test_shards": "1"}, 2, "expected shards from 0 to 0, got 1"),
        ({"relay_sink": "tape"}, 2, "expected one of kafka, null, stdout, got 'tape'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_named_with_what_was_expected(
    settings: dict[str, object], code: int, said: str, relays: Relays
) -> None:
    relay = relays.start("drain", settings=settings)

    assert relay.wait() == code, relay.output
    assert said in relay.output
    assert "Traceback" not in relay.output


def test_a_wrong_password_is_said_without_showing_it(database: str, relays: Relays) -> None:
    login, _, rest = database.partition("@")
    user = login.rpartition(":")[0]

    relay = relays.start("drain", settings={"database_url": f"{user}:s3cret@{rest}"})

    assert relay.wait() == 1
    assert "the password was not accepted" in relay.output
    assert "s3cret" not in relay.output


def test_a_database_without_the_schema_is_said_with_the_command_that_makes_it(
    empty_database: str, relays: Relays
) -> None:
    relay = relays.start("drain", settings={"database_url": empty_database})

    assert relay.wait() == 1
    assert "outbox migrate up" in relay.output
