"""Rule 1 on a PostgreSQL that writes its log late: transaction ids come again after a crash, and events vanish in it.

What a commit has not waited for is lost in a crash, and so are the ids of transactions that were rolled back: they are
given again, to other transactions. Each test shows that this happened, or (behind a barrier) that it could have.
"""

import signal

import psycopg
import pytest

from tests.acceptance.conftest import Insert, Verify
from tests.support.checker import read_committed
from tests.support.kafka_network import ProxiedKafka
from tests.support.meeting import Meeting
from tests.support.relays import RelayProcess, Relays
from tests.support.replication import ask
from tests.support.resettable import LAZY, ResettablePostgres
from tests.support.waiting import wait_until

XMAX = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
UNWRITTEN = "select pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn()"
ROLLED_BACK = 200
AGAIN = 20


@pytest.fixture(scope="module")
def lazy(server: ResettablePostgres) -> ResettablePostgres:
    """The server with a log that is written when a commit waits for it."""
    server.configure(*LAZY)
    server.restart()
    assert ask(server.dsn, "show wal_writer_delay") == "10s"
    return server


def use_up_ids(database: str) -> int:
    """Roll transactions back that had an id each, and return the id that comes next."""
    with psycopg.connect(database, autocommit=True) as connection:
        for _ in range(ROLLED_BACK):
            connection.execute("begin")
            connection.execute("select pg_current_xact_id()")
            connection.execute("rollback")
    return int(ask(database, XMAX))


def write(database: str, kind: str, *, count: int = AGAIN, asynchronously: bool = False) -> list[int]:
    """Insert *count* events, each in a transaction of its own, and return their ids."""
    ids = []
    with psycopg.connect(database, autocommit=True) as connection:
        if asynchronously:
            connection.execute("set synchronous_commit = off")
        for _ in range(count):
            row = connection.execute(
                "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
                " values (%s, 'k', 'thing.happened', '{}') returning tx::text::bigint",
                (kind,),
            ).fetchone()
            assert row is not None
            ids.append(int(row[0]))
    return ids


def look_again(relay: RelayProcess) -> None:
    """Wait until *relay* has looked twice more: its last snapshot is younger than this call."""
    looks = len(relay.events("relay.snapshot.taken"))
    relay.wait_for("relay.snapshot.taken", count=looks + 2)


def end_once_published(relay: RelayProcess, broker: ProxiedKafka, kind: str, *, count: int) -> None:
    """Wait until consumers see *count* events, and end the *relay*."""
    topic = f"outbox.event.{kind}"
    wait_until(
        lambda: len(read_committed(broker.bootstrap, [topic])) >= count,
        timeout_seconds=40,
        what=f"{count} events in Kafka",
    )
    relay.send(signal.SIGTERM)
    assert relay.wait() == 0, relay.output


def test_ids_that_an_idle_relay_has_seen_end_come_again_for_events(
    *,
    lazy: ResettablePostgres,
    database: str,
    aggregate_type: str,
    insert: Insert,
    broker: ProxiedKafka,
    relays: Relays,
    verify: Verify,
) -> None:
    """Its A is ahead of its position in memory only: what PostgreSQL does not confirm is forgotten with the session."""
    insert(1)
    relay = relays.start("run")
    relay.wait_for("relay.mirror.written")
    look_again(relay)
    low = int(ask(database, XMAX))
    high = use_up_ids(database)
    look_again(relay)
    assert ask(database, UNWRITTEN), "somebody had the log written, and nothing will come again"

    lazy.crash_and_restart()
    again = write(database, aggregate_type)

    assert low <= again[0], "what was published before must not come again"
    assert again[-1] < high, "the ids did not come again, so that nothing was tried"
    end_once_published(relay, broker, aggregate_type, count=1 + AGAIN)
    assert len(verify().published) == 1 + AGAIN


def test_ids_behind_a_barrier_do_not_come_again(
    *,
    lazy: ResettablePostgres,
    database: str,
    aggregate_type: str,
    insert: Insert,
    broker: ProxiedKafka,
    relays: Relays,
    verify: Verify,
) -> None:
    """The window ends above ids that only its barrier makes durable."""
    relays.drain()
    with Meeting("relay.page.committed") as meeting:
        relay = relays.start("run", meeting=meeting)
        relay.wait_for("relay.mirror.written")
        look_again(relay)
        relay.send(signal.SIGSTOP)
        insert(1)
        high = use_up_ids(database)
        assert ask(database, UNWRITTEN), "somebody had the log written: a barrier changes nothing"
        relay.send(signal.SIGCONT)
        meeting.wait()  # the mirror, which waits for the disk as well, is not written yet

        lazy.crash_and_restart()
        assert write(database, aggregate_type)[0] >= high

    end_once_published(relay, broker, aggregate_type, count=1 + AGAIN)
    assert len(verify().published) == 1 + AGAIN


@pytest.mark.parametrize(
    ("place", "left"),
    [
        ("relay.window.found", 0),
        pytest.param("relay.barrier.written", AGAIN, marks=pytest.mark.chaos),
        ("relay.page.committed", AGAIN),
    ],
)
def test_events_of_hosts_that_do_not_wait_are_in_both_systems_or_in_neither(
    *,
    place: str,
    left: int,
    lazy: ResettablePostgres,
    database: str,
    aggregate_type: str,
    broker: ProxiedKafka,
    relays: Relays,
    verify: Verify,
) -> None:
    """Before the barrier a crash takes them back, though the relay has seen them; after it they stay."""
    relays.drain()
    with Meeting(place) as meeting:
        relay = relays.start("run", meeting=meeting)
        relay.wait_for("relay.mirror.written")
        look_again(relay)
        relay.send(signal.SIGSTOP)
        gone = write(database, aggregate_type, asynchronously=True)
        relay.send(signal.SIGCONT)
        meeting.wait()

        lazy.crash_and_restart()
        assert ask(database, "select count(*) from outbox.event") == left
        again = write(database, aggregate_type)
        assert (again[0] <= gone[-1]) == (left == 0), "ids come again just if their events are gone"

    end_once_published(relay, broker, aggregate_type, count=left + AGAIN)
    assert len(verify().published) == left + AGAIN
