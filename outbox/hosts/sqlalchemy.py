"""Insert through SQLAlchemy: Session and Connection, their async twins, and scoped sessions, on any PostgreSQL driver.

The statement runs on the session's connection rather than through `session.execute`, so that nothing is flushed. Flush
first, where the change has to be in the database before its event is: see docs/how-to/insert-events.md.
"""

import warnings

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from outbox.errors import OutsideTransactionWarning
from outbox.insert import STATEMENT_WITH_COLONS, Parameters, note_remedy, unsupported

_SyncHost = Session | scoped_session[Session] | Connection
_AsyncHost = AsyncSession | async_scoped_session[AsyncSession] | AsyncConnection
_STATEMENT = text(STATEMENT_WITH_COLONS)


def accepts(host: object) -> bool:
    """Return whether this is a session or a connection; an engine or a sessionmaker is none."""
    return isinstance(host, Session | scoped_session | Connection) or is_async(host)


def is_async(host: object) -> bool:
    """Return whether the insertion has to be awaited."""
    return isinstance(host, AsyncSession | async_scoped_session | AsyncConnection)


def in_transaction(host: _SyncHost | _AsyncHost) -> bool:
    """Return whether the host has begun a transaction, by itself or by its first use of the session."""
    if isinstance(host, scoped_session | async_scoped_session):
        return host().in_transaction()
    return host.in_transaction()


def insert(host: _SyncHost, parameters: Parameters) -> None:
    """Insert the events."""
    connection = host if isinstance(host, Connection) else host.connection()
    if connection.dialect.name != "postgresql":
        raise unsupported(f"a connection to {connection.dialect.name}")
    _warn_if_each_statement_commits(connection)
    try:
        connection.execute(_STATEMENT, parameters)
    except DBAPIError as error:
        note_remedy(error)
        raise


async def insert_async(host: _AsyncHost, parameters: Parameters) -> None:
    """Insert the events."""
    connection = host if isinstance(host, AsyncConnection) else await host.connection()
    await connection.run_sync(insert, parameters)


def _warn_if_each_statement_commits(connection: Connection) -> None:
    """Warn if the isolation level is AUTOCOMMIT: SQLAlchemy speaks of a transaction there too, and there is none."""
    driver_connection = connection.connection.dbapi_connection
    if getattr(driver_connection, "autocommit", False) is True:
        warnings.warn(
            "outbox.insert was called on a connection with isolation level AUTOCOMMIT: the event is committed at once, "
            "whatever becomes of the change that it tells of",
            OutsideTransactionWarning,
            stacklevel=4,
        )
