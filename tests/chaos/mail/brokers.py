"""The brokers that a run can be on; PostgreSQL is one, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from tests.support import brokers

if TYPE_CHECKING:
    from pathlib import Path

    from devstack import Stack
    from tests.support.brokers import Broker

KINDS = ("pgmq", "rabbitmq", "redis")


class Pgmq:
    """PostgreSQL as the broker: to kill it is to kill the database."""

    def __init__(self, servers: Stack) -> None:
        """Take the PostgreSQL of *servers*."""
        self._servers = servers
        self.url = "pgmq://"

    @property
    def version(self) -> str:
        """Return which PostgreSQL it is."""
        with psycopg.connect(self._servers.database_url) as connection:
            return f"PostgreSQL {connection.info.server_version // 10000}, PGMQ"

    def waiting(self) -> int:
        """Return how many permits are in the queue, those that a worker has at the moment included."""
        with psycopg.connect(self._servers.database_url) as connection:
            row = connection.execute("select count(*) from pgmq.q_outbox_mail").fetchone()
        return int(row[0]) if row else 0

    def start(self) -> None:
        """Start it again: it replays its log."""
        assert self._servers.postgres is not None
        self._servers.postgres.start()

    def crash(self) -> None:
        """End it at once."""
        assert self._servers.postgres is not None
        self._servers.postgres.crash()

    def close(self) -> None:
        """Leave it to its owner."""


def started(kind: str, folder: Path, *, servers: Stack) -> Broker:
    """Return a running broker of *kind*."""
    return Pgmq(servers) if kind == "pgmq" else brokers.started(kind, folder)


def missing(kind: str) -> str | None:
    """Return what lacks for *kind*, or nothing."""
    return None if kind == "pgmq" else brokers.missing(kind)
