"""One connection to PostgreSQL for one thread; a lost one is replaced when something is next said."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row

from outbox.statements import load
from runtime.connecting import connect
from runtime.dsn import SecretDsn
from runtime.errors import DatabaseUnavailableError

T = TypeVar("T")
Connection = psycopg.Connection[Any]
Statement = tuple[str, Mapping[str, object]]
# What says that the database is away: a connection that broke, or none to be had in its place.
DATABASE_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, DatabaseUnavailableError)

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
        return self._connection

    def run(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* returns, committed; a connection that breaks is closed, and the error raised."""
        with self._broken_is_closed() as connection, connection.transaction():
            return work(connection)

    def rows(self, name: str, arguments: Mapping[str, object] | None = None) -> list[DictRow]:
        """Return the rows of the statement *name*, in a transaction of its own: one round trip."""
        with self._broken_is_closed() as connection:
            return rows(connection, name, arguments)

    def together(self, *statements: Statement) -> list[list[DictRow]]:
        """Return the rows of each of *statements*, all in one transaction and one round trip."""
        with self._broken_is_closed() as connection, ExitStack() as cursors:
            with connection.pipeline(), connection.transaction():
                asked = [cursors.enter_context(connection.cursor(row_factory=dict_row)) for _ in statements]
                for cursor, (name, arguments) in zip(asked, statements, strict=True):
                    cursor.execute(load("mailer", name), arguments)
            return [cursor.fetchall() if cursor.description is not None else [] for cursor in asked]

    @contextmanager
    def _broken_is_closed(self) -> Iterator[Connection]:
        try:
            yield self.connection()
        except (psycopg.OperationalError, psycopg.InterfaceError):
            self.close()
            raise

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
