"""One connection to PostgreSQL for one thread; a lost one is replaced when something is next said."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row

from outbox.statements import load
from runtime.connecting import connect
from runtime.dsn import SecretDsn

T = TypeVar("T")
Connection = psycopg.Connection[Any]

# A server that vanished without a word is noticed within half a minute, and not after two hours.
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}


class Database:
    """Runs statements of this package, each call in one transaction."""

    def __init__(self, dsn: SecretDsn, *, name: str) -> None:
        """Connect to *dsn* at the first use; *name* is shown in pg_stat_activity."""
        self._dsn = dsn
        self._name = name
        self._connection: Connection | None = None

    def connection(self) -> Connection:
        """Return the connection, opened if need be; raise DatabaseUnavailableError if there is none to be had."""
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._dsn, application_name=self._name, autocommit=True, **_KEEPALIVES)
            # Arrays of one row and of hundreds go through the same statements: a generic plan fits neither.
            self._connection.prepare_threshold = None
        return self._connection

    def run(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* returns, committed; a connection that breaks is closed, and the error raised."""
        connection = self.connection()
        try:
            with connection.transaction():
                return work(connection)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            self.close()
            raise

    def rows(self, name: str, arguments: Mapping[str, object] | None = None) -> list[DictRow]:
        """Return the rows of the statement *name*, in a transaction of its own."""
        return self.run(lambda connection: rows(connection, name, arguments))

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def rows(connection: Connection, name: str, arguments: Mapping[str, object] | None = None) -> list[DictRow]:
    """Return the rows of the statement *name*, or none if it returns none by nature."""
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(load("mailer", name), arguments or {})
        return cursor.fetchall() if cursor.description is not None else []
