"""Transaction ids that pass 2^32, where those of 32 bits begin at 3 again: ours count on, and order stays order."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.acceptance.conftest import Insert
from tests.support.checker import check
from tests.support.kafka_network import ProxiedKafka
from tests.support.promises import Snapshot
from tests.support.relays import Relays
from tests.support.replication import ask
from tests.support.resettable import ResettablePostgres, databases_on, resettable
from tests.support.servers import address

Connect = Callable[[], psycopg.Connection[Any]]

EPOCH = 2**32
BEFORE = 1000  # ids left of the epoch
IDS = 1600  # used up by the hosts

INSERT = (
    "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
    " values (%s, %s, 'thing.happened', '{}') returning tx::text::bigint"
)
NEXT = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
NAMES = "select datname from pg_database where datname <> 'template0'"


class Host:
    """Writes transactions of every kind, one after the other."""

    def __init__(self, connection: psycopg.Connection[Any], kind: str) -> None:
        """Write through *connection*, which commits by itself."""
        self.connection = connection
        self._kind = kind

    def write(self, number: int) -> None:
        """Write the transaction with this *number*: plain, with savepoints, rolled back in parts or as a whole."""
        key = f"key-{number % 7}"
        with self.connection.transaction(force_rollback=number % 6 == 5):
            self.insert(key)
            with self.connection.transaction(force_rollback=number % 3 == 1):
                self.insert(key)
                with self.connection.transaction():
                    self.insert(key)

    def insert(self, key: str) -> int:
        """Insert an event, and return its transaction's id."""
        row = self.connection.execute(INSERT, (self._kind, key)).fetchone()
        assert row is not None
        return int(row[0])

    def prepare(self, gid: str) -> int:
        """Insert an event in a transaction that is prepared, and return its id."""
        self.connection.execute("begin")
        used = self.insert(f"prepared-{gid}")
        self.connection.execute(sql.SQL("prepare transaction {}").format(sql.Literal(gid)))
        return used

    def commit_prepared(self, gid: str) -> None:
        """Commit it."""
        self.connection.execute(sql.SQL("commit prepared {}").format(sql.Literal(gid)))


@pytest.fixture
def server() -> Iterator[ResettablePostgres]:
    """A server for one reset: after the second, catalogs would hold ids that seem to be to come."""
    with resettable() as started:
        yield started


@pytest.fixture
def database(server: ResettablePostgres) -> Iterator[str]:
    """The address of a fresh database on it, with our schema."""
    with databases_on(server).migrated() as dsn:
        yield dsn


@pytest.fixture
def connect(database: str) -> Iterator[Connect]:
    """Opens connections that are closed in the end."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(closing(psycopg.connect(database, autocommit=True)))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("epoch", [None, pytest.param(7, marks=pytest.mark.chaos)])
def test_the_epoch_of_transaction_ids_ends_under_load(
    *,
    epoch: int | None,
    server: ResettablePostgres,
    database: str,
    aggregate_type: str,
    broker: ProxiedKafka,
    relays: Relays,
    insert: Insert,
    connect: Connect,
) -> None:
    """One relay goes through it, another begins behind it with a position from before it."""
    insert(10)
    relays.drain()
    with psycopg.connect(server.dsn) as connection:
        names = [row[0] for row in connection.execute(NAMES).fetchall()]
    server.go_on_at(EPOCH - BEFORE, databases=[address(server.dsn, name) for name in names], epoch=epoch)
    end_of_epoch = ((epoch or 0) + 1) * EPOCH
    relay = relays.start("run", settings={"relay_page_rows": 50})
    relay.wait_for("relay.position.accepted")
    host, long, patient = (Host(connect(), aggregate_type) for _ in range(3))

    with long.connection.transaction(), patient.connection.transaction():
        opened = long.insert("long"), patient.insert("patient"), host.prepare(aggregate_type)
        number = 0
        while ask(database, NEXT) < end_of_epoch - BEFORE + IDS:
            host.write(number)
            number += 1
        long.insert("long")
        seen = len(relay.events("relay.page.committed"))
        host.write(0)
        relay.wait_for("relay.page.committed", count=seen + 1)
        relay.send(signal.SIGTERM)
        assert relay.wait() == 0, relay.output
        host.commit_prepared(aggregate_type)
        long.insert("long")
    host.write(0)
    relays.drain()

    found = check(database, broker.bootstrap)
    txs = [event.tx for event in found.rows.events]
    assert max(opened) < end_of_epoch < max(txs), "the epoch did not end between events"
    assert sum(end_of_epoch - BEFORE <= tx < end_of_epoch for tx in txs) > 100
    assert sum(end_of_epoch <= tx for tx in txs) > 100
    windows = [(Snapshot.of(record["a"]), Snapshot.of(record["b"])) for record in found.progress]
    assert any(set(opened) <= a.running and end_of_epoch < a.xmax for a, _ in windows), "no snapshot is of both epochs"
    assert any(set(opened) <= a.running - b.running for a, b in windows), "the open ones were not waited for"
