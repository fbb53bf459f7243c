"""A database that was restored or copied is not published from by guess; `outbox relay resync` puts it right."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from devstack import providers
from tests.acceptance.history.conftest import Site, ends_with_3
from tests.support.checker import look, read_committed
from tests.support.operators import Operator
from tests.support.promises import Kind
from tests.support.relays import Relays
from tests.support.replication import order
from tests.support.servers import address

LOST_HISTORY = "lost history"
AGREED = ("--reason", "a test", "--yes")


@pytest.fixture
def operator(kafka: providers.Kafka, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Operator]:
    """The command, for the database that is given."""
    return lambda dsn: Operator(dsn, capsys, {"OUTBOX_KAFKA_BOOTSTRAP": kafka.bootstrap})


def times(kafka: providers.Kafka, site: Site) -> dict[int, int]:
    """Return how many events are published how often."""
    records = read_committed(kafka.bootstrap, [site.topic])
    return dict(Counter(Counter(record.event_id for record in records).values()))


def only_made_up(dsn: str, kafka: providers.Kafka, count: int) -> None:
    """Check that nothing is wrong but *count* events that are published and gone: they are those that were lost."""
    wrong = look(dsn, kafka.bootstrap).wrong
    assert Counter(violation.kind for violation in wrong) == ({Kind.MADE_UP: count} if count else {}), wrong


def of_the_backup(site: Site, publish_more: Callable[[], None]) -> str:
    """Restore what was backed up."""
    copy = site.pair.copy()
    site.pair.retire(copy)
    publish_more()
    return address(copy.restore().dsn, site.name)


def up_to_a_name(site: Site, publish_more: Callable[[], None]) -> str:
    """Restore up to a named point."""
    copy = site.pair.copy()
    site.pair.retire(copy)
    order(site.dsn, "select pg_create_restore_point('before')")
    publish_more()
    order(site.dsn, "select pg_switch_wal()")
    return address(copy.restore_up_to("before").dsn, site.name)


def up_to_a_transaction(site: Site, publish_more: Callable[[], None]) -> str:
    """Restore up to a transaction."""
    copy = site.pair.copy()
    site.pair.retire(copy)
    with psycopg.connect(site.dsn) as connection:
        last = connection.execute("select pg_current_xact_id()::text").fetchone()
    assert last is not None
    publish_more()
    order(site.dsn, "select pg_switch_wal()")
    return address(copy.restore_up_to(last[0], by="xid").dsn, site.name)


@pytest.mark.parametrize(
    "restore",
    [
        pytest.param(of_the_backup, marks=pytest.mark.chaos),
        up_to_a_name,
        pytest.param(up_to_a_transaction, marks=pytest.mark.chaos),
    ],
)
def test_a_restore_to_before_published_events_stops_until_a_person_has_chosen(
    *,
    restore: Callable[[Site, Callable[[], None]], str],
    site: Site,
    kafka: providers.Kafka,
    relays: Relays,
    operator: Callable[[str], Operator],
) -> None:
    site.insert(3)
    relays.drain()

    def publish_more() -> None:
        site.insert(2, each=True)
        relays.drain()

    restored = restore(site, publish_more)
    site.insert(9, dsn=restored, each=True)  # under ids and transactions that were used before
    here = {"database_url": restored}

    ends_with_3(relays.start("drain", settings=here), LOST_HISTORY)
    assert times(kafka, site) == {1: 5}
    outbox = operator(restored)
    assert "2 made up" in outbox("verify", "--since", "1d").out
    choice = json.loads(outbox("relay", "resync", "0", "--json").out)[0]["choices"]["topics"]
    assert (choice["publish"]["count"], choice["twice"]["count"], choice["lose"]["count"]) == (9, 0, 0)
    done = outbox("relay", "resync", "0", "--from", "topics", *AGREED)
    assert done.code == 0, done.err
    relays.drain(settings=here)

    assert times(kafka, site) == {1: 14}
    only_made_up(restored, kafka, 2)


@pytest.mark.chaos
def test_of_a_cluster_and_its_copy_that_publish_under_one_name_the_second_stops(
    site: Site, kafka: providers.Kafka, relays: Relays, operator: Callable[[str], Operator]
) -> None:
    """Nothing tells the two apart until one has published: file for file they are the same cluster."""
    site.insert(2)
    relays.drain()
    copy = site.pair.copy()
    site.pair.retire(copy)
    copied = address(copy.restore().dsn, site.name)
    site.insert(3)
    site.insert(4, dsn=copied)
    relays.drain()

    ends_with_3(relays.start("drain", settings={"database_url": copied}), LOST_HISTORY)

    assert times(kafka, site) == {1: 5}
    done = operator(copied)("relay", "resync", "--all", "--new-install", "--from", "topics", *AGREED)
    assert done.code == 0, done.err
    relays.drain(settings={"database_url": copied})
    site.insert(1)
    relays.drain()
    assert times(kafka, site) == {1: 10}
    only_made_up(site.dsn, kafka, 4)
    only_made_up(copied, kafka, 4)  # what the original published since it was copied


@contextmanager
def cloned(site: Site) -> Iterator[str]:
    """Give the address of a clone of the site's database in the same cluster."""
    names = {"clone": sql.Identifier(f"{site.name}_clone"), "name": sql.Identifier(site.name)}
    with psycopg.connect(site.pair.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {clone} template {name}").format(**names))
        try:
            yield f"{site.dsn}_clone"
        finally:
            connection.execute(sql.SQL("drop database {clone} with (force)").format(**names))


def test_a_clone_within_the_cluster_stops_before_it_fences_the_original(
    site: Site, kafka: providers.Kafka, relays: Relays, operator: Callable[[str], Operator]
) -> None:
    site.insert(2)
    relays.drain()
    with cloned(site) as clone:
        site.insert(4, dsn=clone)
        relay = relays.start("drain", settings={"database_url": clone})
        ends_with_3(relay, "the database is a copy within its cluster")
        assert relay.events("relay.epoch.raised") == []

        done = operator(clone)("relay", "resync", "--all", "--new-install", "--from", "topics", *AGREED)
        assert done.code == 0, done.err
        relays.drain(settings={"database_url": clone})
        site.insert(3)
        relays.drain()

        assert times(kafka, site) == {1: 9}
        only_made_up(site.dsn, kafka, 4)
        only_made_up(clone, kafka, 3)
