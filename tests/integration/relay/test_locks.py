"""Who waits for whom: a takeover for its predecessor's writes, the barrier for the disk, maintenance for nobody."""

from collections.abc import Callable, Iterator

import pytest
from psycopg import errors, sql

from relay.errors import LeaseLostError, ServerUnfitError
from relay.lease import DeadHead
from relay.leases import Session
from relay.retention import Retention
from relay.window import ORIGIN, Window
from runtime.settings import SecretDsn
from tests.integration.relay.conftest import Connect

pytestmark = pytest.mark.versions

WINDOW = Window(seq=1, a=ORIGIN, b="3:9:", lo=0, olds=(), n=2)


@pytest.fixture
def successor(database: str) -> Iterator[Session]:
    """A session that waits for no lock longer than 100 ms."""
    opened = Session.open(SecretDsn(database), name="successor")
    opened.connection.execute("set lock_timeout = '100ms'")
    yield opened
    opened.close()


def write_dead_letters(session: Session, check: Callable[[], None]) -> None:
    term = session.raise_epoch(0, shards=1)
    with session.fenced(term):
        check()


def write_barrier(session: Session, check: Callable[[], None]) -> None:
    term = session.raise_epoch(0, shards=1)
    with session.connection.transaction():
        session.write_barrier(term, WINDOW)
        check()


@pytest.mark.parametrize("write", [write_dead_letters, write_barrier], ids=["dead letters", "barrier"])
def test_a_takeover_waits_for_what_its_predecessor_is_writing(
    write: Callable[[Session, Callable[[], None]], None], session: Session, successor: Session
) -> None:
    """Rule 9: `for key share` would not conflict with raising the epoch."""

    def check() -> None:
        with pytest.raises(errors.LockNotAvailable):
            successor.raise_epoch(0, shards=1)

    write(session, check)

    assert successor.raise_epoch(0, shards=1).epoch > 1


def test_a_barrier_of_a_newer_epoch_is_not_replaced(session: Session) -> None:
    term = session.raise_epoch(0, shards=1)
    session.write_barrier(term, WINDOW)
    session.connection.execute("update outbox.batch set epoch = epoch + 1")

    with pytest.raises(LeaseLostError):
        session.write_barrier(term, WINDOW)


def test_a_barrier_is_durable_whatever_the_database_says(database: str, connect: Connect) -> None:
    """Rule 1: hosts' databases often have it off."""
    host = connect()
    name = sql.Identifier(database.rpartition("/")[2].partition("?")[0])
    host.execute(sql.SQL("alter database {} set synchronous_commit = off").format(name))
    host.commit()

    session = Session.open(SecretDsn(database), name="test")

    assert session.connection.execute("select current_setting('synchronous_commit')").fetchone() == ("on",)
    session.close()


def test_a_connection_through_a_transaction_pooler_is_refused(session: Session) -> None:
    """It shows in the process that answers: it is not the one that was connected to."""
    elsewhere = Session(session.connection, connected_pid=-1)

    with pytest.raises(ServerUnfitError, match="transaction pooler"):
        elsewhere.facts()


def test_retention_gives_up_instead_of_queueing_before_hosts(session: Session, connect: Connect) -> None:
    """Rule 13: what queues behind a host makes other hosts queue behind it."""
    connect().execute("lock table outbox.event in access exclusive mode")
    session.connection.execute("set statement_timeout = '2s'")  # shorter than what a session waits for a lock

    assert Retention(session, keep_seconds=1, rows=10).prune(lambda: False) is None


def test_a_release_gives_up_instead_of_queueing_before_hosts(session: Session, connect: Connect) -> None:
    term = session.raise_epoch(0, shards=1)
    connect().execute("lock table outbox.event in row exclusive mode")
    session.connection.execute("set statement_timeout = '2s'")

    assert session.release_key(term, DeadHead(1, "t", "k"), a=ORIGIN, lock_table=True) is None
