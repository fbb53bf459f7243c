"""`outbox verify` on real servers: all is well until something is doctored, and then each thing is named."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka import Producer

from devstack import providers
from tests.acceptance.conftest import Insert
from tests.acceptance.relay.test_poison import TOO_LARGE
from tests.support.checker import Published, read_committed
from tests.support.operators import Logins, Operator
from tests.support.relays import Relays
from tests.support.topics import TopicAdmin
from tests.support.waiting import wait_until

Verifier = Callable[..., Operator]


@pytest.fixture
def operator(database: str, kafka: providers.Kafka, capsys: pytest.CaptureFixture[str]) -> Verifier:
    """Makes the command, against the test's database (or *dsn*) and the broker."""

    def make(dsn: str = database, **settings: object) -> Operator:
        given = {f"OUTBOX_{name.upper()}": str(value) for name, value in settings.items()}
        return Operator(dsn, capsys, {"OUTBOX_KAFKA_BOOTSTRAP": kafka.bootstrap, **given})

    return make


@pytest.fixture
def outbox(operator: Verifier) -> Operator:
    """The command, with settings as they are by default."""
    return operator()


@pytest.fixture
def superuser(database: str) -> Iterator["psycopg.Connection[Any]"]:
    """Somebody who may doctor rows."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def found(report: Any) -> Counter[str]:
    return Counter(finding["kind"] for finding in report["findings"])


def write(kafka: providers.Kafka, topic: str, key: str, event_id: str) -> None:
    """Write a record as no relay does."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, b"{}", key=key.encode(), headers=[("id", event_id.encode())])
    assert producer.flush(20) == 0


def first_of(kafka: providers.Kafka, topic: str) -> Published:
    return read_committed(kafka.bootstrap, [topic])[0]


def test_what_a_relay_published_is_found_well_and_nothing_else_is_said(
    operator: Verifier, superuser: "psycopg.Connection[Any]", relays: Relays, insert: Insert, database: str
) -> None:
    superuser.execute("update outbox.meta set shards = 2")
    for _ in range(2):
        insert(25, keys=7)
        insert(1, key="sick", pad=TOO_LARGE)
        insert(5, key="sick")
        relays.drain(settings={"relay_page_rows": 10})
    logins = Logins(superuser, database)

    report = operator().json("verify")
    seen_by_a_reader = operator(logins.of("outbox_reader"))("verify")

    logins.drop()
    assert (report["verdict"], report["findings"], report["unjudged"]) == ("well", [], [])
    assert report["counts"]["events"] == 62
    assert report["counts"]["dead_letters"] == 12
    assert report["counts"]["records"] == 50
    assert {one["shard"] for one in report["range"]} == {0, 1}
    assert (seen_by_a_reader.code, seen_by_a_reader.err) == (0, "")
    assert "all of it is as it should be" in seen_by_a_reader.out


def test_a_relay_that_publishes_meanwhile_makes_no_difference(outbox: Operator, relays: Relays, insert: Insert) -> None:
    relay = relays.start("run", settings={"relay_page_rows": 100})
    reports = []
    for number in range(3):
        insert(1000, keys=50)
        relay.wait_for("relay.page.committed", count=10 * number + 3)
        insert(1000, keys=50)
        reports.append(outbox.json("verify"))

    assert [(report["verdict"], report["findings"], report["unjudged"]) for report in reports] == [("well", [], [])] * 3
    assert reports[-1]["counts"]["events"] >= 1000


def test_each_thing_that_is_doctored_is_named(
    outbox: Operator,
    superuser: "psycopg.Connection[Any]",
    kafka: providers.Kafka,
    relays: Relays,
    insert: Insert,
) -> None:
    made_up, topic = str(uuid4()), f"verified-{uuid4().hex[:12]}"
    insert(20, topic=topic)
    relays.drain()
    insert(20, topic=topic)
    superuser.execute(  # of a transaction that every window has seen already
        "insert into outbox.event (tx, aggregate_type, aggregate_id, type, payload, topic)"
        " select min(tx), 'user', 'k', 'thing.happened', '{}', min(topic) from outbox.event"
    )
    relays.drain()
    before = outbox.json("verify", "--windows", "1")
    doubled = first_of(kafka, topic)
    write(kafka, topic, doubled.key, doubled.event_id)
    write(kafka, topic, "k", made_up)
    superuser.execute(  # the first two rows of one key change their places
        "with two as (select id, event_id from outbox.event where tx = (select max(tx) from outbox.event)"
        " and aggregate_id = '1' order by id limit 2)"
        " update outbox.event as e set event_id = other.event_id from two join two as other on other.id <> two.id"
        " where e.id = two.id"
    )
    superuser.execute(
        "insert into outbox.dead_letter (stage, reason, shard, event_row_id, event_id)"
        " select 'publish', 'x', 0, id, event_id from outbox.event order by tx desc, id desc limit 1"
    )

    second = outbox.json("verify", "--windows", "2")
    outcome = outbox("verify")

    assert found(before) == {"lost": 1, "page": 1}  # its forged tx puts the row into the first window
    by_kind = {finding["kind"]: finding for finding in second["findings"]}
    assert found(second) == dict.fromkeys(["lost", "doubled", "made_up", "disordered", "dead_and_published", "page"], 1)
    assert "in no window: somebody wrote its tx" in by_kind["lost"]["problem"]
    assert by_kind["doubled"]["event_id"] == doubled.event_id
    assert by_kind["made_up"]["event_id"] == made_up
    assert by_kind["made_up"]["topic"] == topic
    assert outcome.code == 1
    assert f"made up: event {made_up} is in Kafka, and PostgreSQL has no such event ({topic}/" in outcome.out
    assert "a promise is broken" in outcome.out


def test_a_topic_that_is_gone_leaves_its_events_unjudged(
    outbox: Operator, kafka: providers.Kafka, relays: Relays, insert: Insert, aggregate_type: str
) -> None:
    topic, admin = f"{aggregate_type}.other", TopicAdmin(kafka.bootstrap)
    insert(5)
    insert(3, topic=topic)
    relays.drain()
    admin.delete(topic)
    wait_until(lambda: topic not in admin.topics(), timeout_seconds=30, what=f"{topic} to be gone")

    outcome = outbox("verify", "--ids", "1-100")

    assert outcome.code == 4
    assert f"not judged: {topic}: there is no such topic" in outcome.out
    assert "(3)" in outcome.out
    assert outbox.json("verify", "--windows", "1", "--shard", "0")["verdict"] == "unjudged"


def test_rows_that_retention_deleted_are_no_made_up_events(
    operator: Verifier, superuser: "psycopg.Connection[Any]", relays: Relays, insert: Insert
) -> None:
    insert(5)
    relays.drain()
    superuser.execute("delete from outbox.event where id <= 2")
    superuser.execute("update outbox.batch set at = at - interval '1 hour'")

    kept = operator().json("verify", "--windows", "1")
    pruned = operator(relay_retention_days=0.0001).json("verify", "--windows", "1")

    assert found(kept) == {"made_up": 2, "page": 1}
    assert (pruned["verdict"], pruned["findings"]) == ("unjudged", [])


def test_without_a_server_nothing_is_judged(operator: Verifier) -> None:
    outcome = operator("postgresql://nobody@127.0.0.1:1/none")("verify")

    assert outcome.code == 4
    assert outcome.err.startswith("error: nothing was judged: cannot connect to")
