"""What a host may write: it type-checks, and means what it says. Never run; mypy reads it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypedDict, assert_type
from uuid import UUID

import psycopg
from django.db import connection as django_connection
from django.db import connections
from psycopg.rows import dict_row
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

import outbox
from outbox import Event


class Registered(TypedDict):
    email: str
    name: str


REGISTERED: Registered = {"email": "ada@example.com", "name": "Ada"}
EVENT = Event(aggregate_type="user", aggregate_id="42", type="user.registered", payload=REGISTERED)
EVENTS = [EVENT, EVENT]

Event(aggregate_type="a", aggregate_id="1", type="t", payload={"n": 1, "price": Decimal("1.10"), "at": [None]})
Event(
    aggregate_type="a", aggregate_id="1", type="t", payload={"at": datetime(2026, 1, 1, tzinfo=UTC), "id": UUID(int=1)}
)
Event(aggregate_type="a", aggregate_id="1", type="t", payload=[1, "two"], headers={"tenant": "7"}, topic="x")
Event(aggregate_type="a", aggregate_id="1", type="t", payload=None, event_id=UUID(int=1))


def with_a_mapping(payload: Mapping[str, str], headers: Mapping[str, str]) -> Event:
    return Event(aggregate_type="a", aggregate_id="1", type="t", payload=payload, headers=headers)


def with_sqlalchemy(session: Session, registry: scoped_session[Session], connection: Connection) -> None:
    for host in (session, registry, connection):
        assert_type(outbox.insert(host, EVENT), UUID)
        assert_type(outbox.insert(host, EVENTS), list[UUID])


def with_psycopg(plain: psycopg.Connection, with_rows: psycopg.Connection[dict[str, object]]) -> None:
    for host in (plain, with_rows):
        assert_type(outbox.insert(host, EVENT), UUID)
        assert_type(outbox.insert(host, EVENTS), list[UUID])


def with_django(many: Sequence[Event]) -> None:
    for host in (django_connection, connections["other"], "default"):
        assert_type(outbox.insert(host, EVENT), UUID)
        assert_type(outbox.insert(host, many), list[UUID])
        assert_type(outbox.insert(host, (EVENT, EVENT)), list[UUID])


async def asynchronously(
    session: AsyncSession,
    registry: async_scoped_session[AsyncSession],
    connection: AsyncConnection,
    plain: psycopg.AsyncConnection,
) -> None:
    assert_type(await outbox.insert(session, EVENT), UUID)
    assert_type(await outbox.insert(registry, EVENT), UUID)
    assert_type(await outbox.insert(connection, EVENTS), list[UUID])
    assert_type(await outbox.insert(plain, EVENTS), list[UUID])
    async with await psycopg.AsyncConnection.connect("", row_factory=dict_row) as with_rows:
        assert_type(await outbox.insert(with_rows, EVENT), UUID)
