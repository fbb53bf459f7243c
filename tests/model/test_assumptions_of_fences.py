"""What the model assumes of PostgreSQL's locks: barrier and takeover wait for each other, and then see each other."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest

from devstack import providers
from relay.errors import LeaseLostError
from relay.lease import Batch
from relay.leases import Session
from relay.window import ORIGIN, Window
from runtime.settings import SecretDsn
from tests.model.asking import Connect, value
from tests.support.waiting import wait_until

pytestmark = pytest.mark.versions

WINDOW = Window(seq=1, a=ORIGIN, b="3:9:", lo=0, olds=(), n=2)


def in_background(call: Callable[[], object]) -> "Future[object]":
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return future


def waits(connection: psycopg.Connection, pid: int) -> bool:
    connection.rollback()
    return bool(value(connection, "select cardinality(pg_blocking_pids(%s)) > 0", pid))


def test_a_barrier_that_waits_for_a_takeover_finds_itself_fenced(
    sessions: tuple[Session, Session], connect: Connect
) -> None:
    former, successor = sessions
    looking = connect()
    term = former.raise_epoch(0, shards=1)
    with successor.connection.transaction():
        successor.row("raise_epoch", shard=0)
        barrier = in_background(lambda: former.write_barrier(term, WINDOW))
        pid = former.connection.info.backend_pid
        wait_until(lambda: waits(looking, pid), timeout_seconds=30, what="the barrier to wait for the takeover")

    with pytest.raises(LeaseLostError):
        barrier.result(30)
    assert successor.batch(0, 1) is None


def test_a_takeover_waits_for_a_barrier_under_way_and_finds_it(
    sessions: tuple[Session, Session], connect: Connect
) -> None:
    former, successor = sessions
    looking = connect()
    term = former.raise_epoch(0, shards=1)
    with former.connection.transaction():
        former.write_barrier(term, WINDOW)
        takeover = in_background(lambda: successor.raise_epoch(0, shards=1))
        pid = successor.connection.info.backend_pid
        wait_until(lambda: waits(looking, pid), timeout_seconds=30, what="the takeover to wait for the barrier")

    takeover.result(30)
    assert successor.batch(0, 1) == Batch(ORIGIN, "3:9:", term.epoch, 2)


def test_a_barrier_replaces_that_of_an_older_epoch_and_never_that_of_a_newer(
    sessions: tuple[Session, Session],
) -> None:
    session, other = sessions
    old = session.raise_epoch(0, shards=1)
    session.write_barrier(old, WINDOW)
    new = other.raise_epoch(0, shards=1)
    other.write_barrier(new, Window(seq=1, a=ORIGIN, b="3:11:", lo=0, olds=(), n=3))

    with pytest.raises(LeaseLostError):
        session.write_barrier(old, WINDOW)

    assert session.batch(0, 1) == Batch(ORIGIN, "3:11:", new.epoch, 3)


def test_a_lease_is_free_once_its_session_has_ended_or_the_server_has(
    sessions: tuple[Session, Session], database: str, postgres: providers.Postgres
) -> None:
    holder, other = sessions
    assert holder.try_lock(0)
    assert not other.try_lock(0)

    value(other.connection, "select pg_terminate_backend(%s)", holder.connection.info.backend_pid)
    wait_until(lambda: other.try_lock(0), timeout_seconds=30, what="the lease to be free")
    with pytest.raises(psycopg.OperationalError):
        holder.check(holder.raise_epoch(0, shards=1))
    postgres.crash()
    postgres.start()

    third = Session.open(SecretDsn(database), name="three")
    assert third.try_lock(0)
    third.close()
