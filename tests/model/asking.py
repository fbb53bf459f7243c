"""What a real PostgreSQL answers about transaction ids and snapshots."""

from collections.abc import Callable
from typing import Any

import psycopg

Connect = Callable[[], psycopg.Connection]

INSERT = "insert into outbox.event (aggregate_type, aggregate_id, type, payload) values ('t', %s, 'x', '{}')"


def value(connection: psycopg.Connection, query: str, *parameters: object) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def xid(connection: psycopg.Connection) -> int:
    return int(value(connection, "select pg_current_xact_id()::text"))


def snapshot(connection: psycopg.Connection) -> str:
    """Return the snapshot of now, in no transaction that lasts."""
    text = str(value(connection, "select pg_current_snapshot()::text"))
    connection.rollback()
    return text


def sees(connection: psycopg.Connection, tx: int, text: str) -> bool:
    return bool(value(connection, "select pg_visible_in_snapshot(%s::text::xid8, %s::pg_snapshot)", str(tx), text))


def ended(connection: psycopg.Connection) -> int:
    """Return a transaction id that was taken and has ended."""
    tx = xid(connection)
    connection.commit()
    return tx
