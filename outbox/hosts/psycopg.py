"""Insert through psycopg 3, with a Connection or an AsyncConnection."""

from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from outbox.insert import STATEMENT, Parameters, note_remedy

_Host = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]


def accepts(host: object) -> bool:
    """Return whether this is a connection; a cursor or a pool is none."""
    return isinstance(host, psycopg.Connection | psycopg.AsyncConnection)


def is_async(host: _Host) -> bool:
    """Return whether the insertion has to be awaited."""
    return isinstance(host, psycopg.AsyncConnection)


def in_transaction(host: _Host) -> bool:
    """Return whether a transaction is open; the library knows it from the server's last answer and asks nothing."""
    return host.info.transaction_status != TransactionStatus.IDLE


def insert(host: psycopg.Connection[Any], parameters: Parameters) -> None:
    """Insert the events."""
    try:
        # Not host.cursor(): the host may have set a factory whose cursors write parameters in another style.
        with psycopg.Cursor(host) as cursor:
            cursor.execute(STATEMENT, parameters)
    except psycopg.Error as error:
        note_remedy(error)
        raise


async def insert_async(host: psycopg.AsyncConnection[Any], parameters: Parameters) -> None:
    """Insert the events."""
    try:
        async with psycopg.AsyncCursor(host) as cursor:
            await cursor.execute(STATEMENT, parameters)
    except psycopg.Error as error:
        note_remedy(error)
        raise
