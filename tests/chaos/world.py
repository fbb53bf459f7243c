"""The servers under fire, with what breaks them: a broker behind a proxy, a PostgreSQL behind another."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

from devstack import Stack, folders
from devstack.postgres import EmbeddedPostgres
from relay.lease import LOCK_SPACE
from tests.support.kafka_network import ProxiedKafka
from tests.support.postgres_proxy import PostgresProxy

_HOLDERS = """
select objid::int, pid from pg_locks
where locktype = 'advisory' and granted and classid::bigint = %s and objsubid = 2
  and database = (select oid from pg_database where datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class World:
    """A database on *postgres*, and *broker*; *line* is the way to the database on which connections are cut."""

    dsn: str
    postgres: EmbeddedPostgres
    broker: ProxiedKafka
    line: PostgresProxy
    _mending: dict[str, threading.Lock] = field(
        default_factory=lambda: {"kafka": threading.Lock(), "pg": threading.Lock()}
    )

    @classmethod
    @contextlib.contextmanager
    def around(cls, dsn: str, *, postgres: EmbeddedPostgres, broker: ProxiedKafka) -> Iterator["World"]:
        """Give the world of a migrated database, with nothing broken in the end."""
        line = PostgresProxy(dsn)
        world = cls(dsn, postgres, broker, line)
        try:
            yield world
        finally:
            line.close()
            world.mend()

    @classmethod
    @contextlib.contextmanager
    def started(cls) -> Iterator["World"]:
        """Give a world of its own; its servers are gone afterwards."""
        from console.migrate import upgrade  # noqa: PLC0415 - SQLAlchemy and alembic, which nothing else here needs

        folder = folders.new_run_folder()
        with contextlib.ExitStack() as closers:
            closers.callback(folders.remove, folder)
            broker = ProxiedKafka.started(folder)
            closers.callback(broker.close)
            stack = closers.enter_context(Stack.start(kafka=False, smtp=False))
            assert isinstance(stack.postgres, EmbeddedPostgres), "chaos crashes its servers, and so needs its own"
            upgrade(stack.postgres.dsn)
            yield closers.enter_context(cls.around(stack.postgres.dsn, postgres=stack.postgres, broker=broker))

    def mend(self) -> None:
        """Have both servers run, and no fault pending."""
        self.broker.network.calm()
        with self._mending["kafka"]:
            self.broker.start()
        with self._mending["pg"]:
            self.postgres.start()

    def kill_broker(self, pause: threading.Event, seconds: float) -> None:
        """Kill the broker, and start it again after *seconds*."""
        with self._mending["kafka"]:
            self.broker.crash()
            pause.wait(seconds)
            self.broker.start()

    def crash_postgres(self, pause: threading.Event, seconds: float) -> None:
        """Have PostgreSQL end at once (`immediate`), and start it again after *seconds*."""
        with self._mending["pg"]:
            self.postgres.crash()
            pause.wait(seconds)
            self.postgres.start()

    def kill_backend(self) -> bool:
        """Kill a backend with SIGKILL: PostgreSQL ends all others and recovers. False if it was away."""
        with contextlib.suppress(psycopg.Error, ProcessLookupError), self.connect() as connection:
            victim = connection.execute("select pg_backend_pid()").fetchone()
            assert victim is not None
            os.kill(victim[0], signal.SIGKILL)
            return True
        return False

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Return a connection that never waits for long."""
        limits = "-c statement_timeout=20000 -c lock_timeout=3000"
        return psycopg.connect(self.dsn, connect_timeout=3, options=limits, autocommit=True, **options)

    def rows(self, query: str, *parameters: object) -> list[Any]:
        """Return the rows of *query*."""
        with self.connect() as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def holders(self) -> dict[int, int]:
        """Return the backend that holds the lease of each shard; none while PostgreSQL is away."""
        with contextlib.suppress(psycopg.Error):
            return dict(self.rows(_HOLDERS, LOCK_SPACE))
        return {}

    def terminate(self, backends: list[int]) -> None:
        """End sessions."""
        with contextlib.suppress(psycopg.Error):
            self.rows("select pg_terminate_backend(pid) from unnest(%s::int[]) as pid", backends)
