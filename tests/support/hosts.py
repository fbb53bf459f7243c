"""Hosts that write while something breaks: commits, rollbacks, late commits, savepoints, COPY and two-phase commits.

Each locks the key before it emits (rule 7), so that the order of the events of a key is that of their ids.
"""

import contextlib
import random
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg

_INSERT = (
    "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
    " values (%(kind)s, %(key)s, 'thing.happened', '{}')"
)
_LOCK = "select pg_advisory_xact_lock(outbox.lock_key(%(kind)s, %(key)s))"
# How often a host writes, at most; the others' commits make it less.
_PAUSE = 0.01


class Host:
    """One thread that writes events of one aggregate type until it is stopped; it survives its server."""

    def __init__(self, dsn: str, *, kind: str, seed: int, name: str, asynchronous: bool = False) -> None:
        """Write to *dsn*, under keys that begin with *name*; *asynchronous*: with synchronous_commit off."""
        self._dsn = dsn
        self._kind = kind
        self._name = name
        self._asynchronous = asynchronous
        self._chance = random.Random(seed)  # noqa: S311 - replayable, not secret
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"host {name}", daemon=True)
        self.transactions = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, once the transaction at hand has ended."""
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            # A prepared transaction that a crash has left behind keeps its key for ever: nobody waits long for one.
            with (
                contextlib.suppress(psycopg.Error),
                psycopg.connect(self._dsn, connect_timeout=2, options="-c lock_timeout=2000") as connection,
            ):
                if self._asynchronous:
                    connection.execute("set synchronous_commit = off")
                    connection.commit()
                while not self._stop.wait(_PAUSE):
                    self._write(connection)
                    self.transactions += 1
            self._stop.wait(0.1)

    def _write(self, connection: psycopg.Connection[Any]) -> None:
        way = self._chance.choice([self._plain, self._plain, self._savepoint, self._copy, self._prepared, self._undone])
        key = {"kind": self._kind, "key": f"{self._name}-{self._chance.randrange(5)}"}
        way(connection, key)
        connection.commit()

    @staticmethod
    def _plain(connection: psycopg.Connection[Any], key: dict[str, str]) -> None:
        connection.execute(_LOCK, key)
        connection.execute(_INSERT, key)
        connection.execute(_INSERT, key)

    @staticmethod
    def _undone(connection: psycopg.Connection[Any], key: dict[str, str]) -> None:
        connection.execute(_LOCK, key)
        connection.execute(_INSERT, key)
        connection.rollback()

    @staticmethod
    def _savepoint(connection: psycopg.Connection[Any], key: dict[str, str]) -> None:
        connection.execute(_LOCK, key)
        with contextlib.suppress(psycopg.errors.DivisionByZero), connection.transaction():
            connection.execute(_INSERT, key)
            connection.execute("select 1 / 0")
        with connection.transaction():
            connection.execute(_INSERT, key)

    @staticmethod
    def _copy(connection: psycopg.Connection[Any], key: dict[str, str]) -> None:
        connection.execute(_LOCK, key)
        with (
            connection.cursor() as cursor,
            cursor.copy("copy outbox.event (aggregate_type, aggregate_id, type, payload) from stdin") as copy,
        ):
            for _ in range(5):
                copy.write_row((key["kind"], key["key"], "thing.happened", "{}"))

    @staticmethod
    def _prepared(connection: psycopg.Connection[Any], key: dict[str, str]) -> None:
        connection.commit()
        connection.tpc_begin(connection.xid(1, uuid.uuid4().hex, "host"))
        connection.execute(_LOCK, key)
        connection.execute(_INSERT, key)
        connection.tpc_prepare()
        connection.tpc_commit()


@contextlib.contextmanager
def writing(dsn: str, kind: str, *, hosts: int = 2, seed: int = 0, asynchronous: bool = False) -> Iterator[list[Host]]:
    """Have *hosts* write to *dsn* until the end of the block."""
    started = [
        Host(dsn, kind=kind, seed=seed + number, name=f"{seed}-{number}", asynchronous=asynchronous)
        for number in range(hosts)
    ]
    for host in started:
        host.start()
    try:
        yield started
    finally:
        for host in started:
            host.stop()


def settle_prepared(dsn: str) -> int:
    """Commit every transaction that a crash has left prepared, and return how many."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute("select gid from pg_prepared_xacts where database = current_database()").fetchall()
        for (gid,) in found:
            connection.execute(psycopg.sql.SQL("commit prepared {}").format(psycopg.sql.Literal(gid)))
    return len(found)
