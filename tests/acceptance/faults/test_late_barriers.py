"""A barrier that is late or void while its page waits in Kafka: for a standby that is away, or behind a lock."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.acceptance.conftest import Insert, Verify
from tests.support.checker import look
from tests.support.kafka_network import ProxiedKafka
from tests.support.promises import Kind
from tests.support.relays import RelayProcess, Relays
from tests.support.waiting import wait_until

Operator = psycopg.Connection[Any]
SMALL_PAGES = {"relay_page_rows": 5}
WINDOW = 13
# Seconds. transaction.timeout.ms is 15 s, and a broker looks for what has timed out every 10 s.
TIMED_OUT = 60
WAITING = (
    "select pid from pg_stat_activity where datname = current_database()"
    " and application_name like 'outbox relay%%' and wait_event = %s"
)


@pytest.fixture
def operator(database: str) -> Iterator[Operator]:
    """A session whose own commits wait for nobody."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("set synchronous_commit = local")
        yield connection


@contextmanager
def awaiting_a_standby(operator: Operator) -> Iterator[None]:
    """Have commits wait for a standby that does not exist."""
    operator.execute("alter system set synchronous_standby_names = 'nobody'")
    operator.execute("select pg_reload_conf()")
    try:
        yield
    finally:
        operator.execute("alter system reset synchronous_standby_names")
        operator.execute("select pg_reload_conf()")


def waiting(operator: Operator, event: str) -> int | None:
    """Return the backend of the relay that waits for *event*."""
    row = operator.execute(WAITING, (event,)).fetchone()
    return row[0] if row else None


def insert_locally(operator: Operator, kind: str, count: int) -> None:
    operator.execute(
        "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
        " select %s, (n %% 3)::text, 'thing.happened', '{}' from generate_series(1, %s) as n",
        (kind, count),
    )


def end(relay: RelayProcess) -> None:
    relay.send(signal.SIGTERM)
    assert relay.wait() == 0, relay.output


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_a_page_whose_barrier_is_later_than_the_brokers_patience_is_published_again(
    *,
    database: str,
    aggregate_type: str,
    broker: ProxiedKafka,
    operator: Operator,
    insert: Insert,
    relays: Relays,
    verify: Verify,
) -> None:
    """The broker fences with the code of a successor, and there is none: the lease says that we go on."""

    def is_open() -> bool:
        seen = look(database, broker.bootstrap, complete=False)
        return any(violation.kind is Kind.OPEN for violation in seen.wrong)

    insert(1)
    relay = relays.start("run", settings=SMALL_PAGES)
    relay.wait_for("relay.mirror.written")
    with awaiting_a_standby(operator):
        insert_locally(operator, aggregate_type, WINDOW)
        wait_until(lambda: waiting(operator, "SyncRep"), timeout_seconds=20, what="a barrier to wait")
        wait_until(is_open, timeout_seconds=20, what="a transaction in Kafka")
        wait_until(lambda: not is_open(), timeout_seconds=TIMED_OUT, what="the broker to abort it")
        assert not relay.events("relay.lease.lost")

    relay.wait_for("relay.window.finished", count=2, timeout_seconds=60)
    assert len(relay.events("relay.page.failed")) == 1
    assert len(relay.events("relay.producer.initialised")) == 2
    assert len(relay.events("relay.epoch.raised")) == 1, "it is the same term"
    end(relay)
    assert len(verify().published) == 1 + WINDOW


@pytest.mark.chaos
def test_a_barrier_behind_a_lock_ends_the_term_and_the_next_goes_on(
    database: str, insert: Insert, operator: Operator, relays: Relays, verify: Verify
) -> None:
    insert(1)
    relay = relays.start("run", settings=SMALL_PAGES)
    relay.wait_for("relay.mirror.written")
    with psycopg.connect(database) as locking:
        locking.execute("lock table outbox.batch in share row exclusive mode")
        insert(WINDOW)
        wait_until(lambda: waiting(operator, "relation"), timeout_seconds=20, what="a barrier to wait")
        relay.wait_for("relay.lease.lost")

    relay.wait_for("relay.window.finished", count=2, timeout_seconds=60)
    end(relay)
    assert len(verify().published) == 1 + WINDOW


def test_a_cancelled_wait_shows_whatever_the_database_thinks_of_warnings(
    *, aggregate_type: str, operator: Operator, insert: Insert, relays: Relays, verify: Verify
) -> None:
    """Rule 2: that the barrier is void is said in a warning alone, which a default of the database may keep back."""
    name = operator.info.dbname
    operator.execute(sql.SQL("alter database {} set client_min_messages = error").format(sql.Identifier(name)))
    insert(1)
    relay = relays.start("run", settings=SMALL_PAGES)
    relay.wait_for("relay.mirror.written")
    with awaiting_a_standby(operator):
        barriers = len(relay.events("relay.barrier.written"))
        insert_locally(operator, aggregate_type, WINDOW)

        def refused() -> dict[str, Any] | None:
            # Not only the barrier waits for the standby: whatever the relay commits does, and is cancelled, too.
            if backend := waiting(operator, "SyncRep"):
                operator.execute("select pg_cancel_backend(%s)", (backend,))
            return next(iter(relay.events("relay.renewal.failed")), None)

        failed = wait_until(refused, timeout_seconds=30, what="a barrier that waits, is cancelled and is refused")

        assert "durable" in failed["reason"]
        assert len(relay.events("relay.barrier.written")) == barriers

    relay.wait_for("relay.window.finished", count=2, timeout_seconds=30)
    end(relay)
    assert len(verify().published) == 1 + WINDOW
