"""One small host application on each stack: a table of accounts, and events about them in the same transaction.

Every stack looks alike to the suite. The asynchronous ones are driven from here by an event loop of their own.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

import django
import psycopg
from django.conf import settings
from django.db import connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import outbox
from outbox import Event
from outbox.hosts import AsyncHost

CHANGE = "update app.account set state = 'changed' where id = 42"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work:
    """One open transaction of the host."""

    change: Callable[[], None]
    insert: Callable[[Event | Sequence[Event]], list[UUID]]
    savepoint: Callable[[], AbstractContextManager[object]]


class Host(Protocol):
    """A host application on one stack, constructed with a DSN."""

    def __init__(self, dsn: str) -> None: ...

    def transaction(self) -> AbstractContextManager[Work]:
        """Return a transaction that is committed at the end of the block, or rolled back if the block raises."""
        ...

    def insert_outside(self, event: Event) -> None:
        """Insert while no transaction is open."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


def listed(ids: UUID | list[UUID]) -> list[UUID]:
    return [ids] if isinstance(ids, UUID) else ids


async def inserted(host: AsyncHost, events: Event | Sequence[Event]) -> list[UUID]:
    return listed(await outbox.insert(host, events))


# ------------------------------------------------------------------------------------------------------ SQLAlchemy
def _url(dsn: str, driver: str) -> str:
    return make_url(dsn).set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)


class SqlAlchemyConnection:
    driver = "psycopg"

    def __init__(self, dsn: str) -> None:
        self.engine = create_engine(_url(dsn, self.driver), poolclass=NullPool)

    @contextmanager
    def transaction(self) -> Iterator[Work]:
        with self.engine.begin() as host:
            yield Work(
                change=lambda: void(host.execute(text(CHANGE))),
                insert=lambda events: listed(outbox.insert(host, events)),
                savepoint=host.begin_nested,
            )

    def insert_outside(self, event: Event) -> None:
        with self.engine.connect() as host:
            outbox.insert(host, event)

    def close(self) -> None:
        self.engine.dispose()


class SqlAlchemyConnectionOnPsycopg2(SqlAlchemyConnection):
    driver = "psycopg2"


class SqlAlchemySession(SqlAlchemyConnection):
    def session(self) -> Session | scoped_session[Session]:
        return Session(self.engine)

    @contextmanager
    def transaction(self) -> Iterator[Work]:
        host = self.session()
        with host.begin():
            yield Work(
                change=lambda: void(host.execute(text(CHANGE))),
                insert=lambda events: listed(outbox.insert(host, events)),
                savepoint=host.begin_nested,
            )
        host.close()

    def insert_outside(self, event: Event) -> None:
        host = self.session()
        try:
            outbox.insert(host, event)
        finally:
            host.close()


class SqlAlchemyScopedSession(SqlAlchemySession):
    def session(self) -> scoped_session[Session]:
        return scoped_session(sessionmaker(self.engine))


def void(_result: object) -> None:
    """Drop a result."""


class _Loop:
    """Runs coroutines to their end, one after the other, in one event loop."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    @contextmanager
    def entered(self, manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
        value = self.run(_enter(manager))
        try:
            yield value
        except BaseException as error:
            self.run(_exit(manager, error))
            raise
        self.run(_exit(manager, None))


async def _enter(manager: AbstractAsyncContextManager[T]) -> T:
    return await manager.__aenter__()


async def _exit(manager: AbstractAsyncContextManager[object], error: BaseException | None) -> None:
    await manager.__aexit__(type(error) if error else None, error, error.__traceback__ if error else None)


class SqlAlchemyAsyncConnection:
    driver = "asyncpg"

    def __init__(self, dsn: str) -> None:
        self.loop = _Loop()
        self.engine: AsyncEngine = create_async_engine(_url(dsn, self.driver), poolclass=NullPool)

    def opened(
        self,
    ) -> AbstractAsyncContextManager[AsyncConnection | AsyncSession | async_scoped_session[AsyncSession]]:
        return self.engine.connect()

    @contextmanager
    def transaction(self) -> Iterator[Work]:
        with self.loop.entered(self.opened()) as host, self.loop.entered(host.begin()):
            yield Work(
                change=lambda: void(self.loop.run(host.execute(text(CHANGE)))),
                insert=lambda events: self.loop.run(inserted(host, events)),
                savepoint=lambda: self.loop.entered(host.begin_nested()),
            )

    def insert_outside(self, event: Event) -> None:
        with self.loop.entered(self.opened()) as host:
            self.loop.run(outbox.insert(host, event))

    def close(self) -> None:
        self.loop.run(self.engine.dispose())
        self.loop.runner.close()


class SqlAlchemyAsyncConnectionOnPsycopg(SqlAlchemyAsyncConnection):
    driver = "psycopg"


class SqlAlchemyAsyncSession(SqlAlchemyAsyncConnection):
    def opened(self) -> AbstractAsyncContextManager[AsyncSession]:
        return AsyncSession(self.engine)


# --------------------------------------------------------------------------------------------------------- psycopg
class Psycopg:
    def __init__(self, dsn: str) -> None:
        self.host = psycopg.connect(dsn, autocommit=True)

    @contextmanager
    def transaction(self) -> Iterator[Work]:
        with self.host.transaction():
            yield Work(
                change=lambda: void(self.host.execute(CHANGE)),
                insert=lambda events: listed(outbox.insert(self.host, events)),
                savepoint=self.host.transaction,
            )

    def insert_outside(self, event: Event) -> None:
        outbox.insert(self.host, event)

    def close(self) -> None:
        self.host.close()


class PsycopgAsync:
    def __init__(self, dsn: str) -> None:
        self.loop = _Loop()
        self.host = self.loop.run(psycopg.AsyncConnection.connect(dsn, autocommit=True))

    @contextmanager
    def transaction(self) -> Iterator[Work]:
        with self.loop.entered(self.host.transaction()):
            yield Work(
                change=lambda: void(self.loop.run(self.host.execute(CHANGE))),
                insert=lambda events: self.loop.run(inserted(self.host, events)),
                savepoint=lambda: self.loop.entered(self.host.transaction()),
            )

    def insert_outside(self, event: Event) -> None:
        self.loop.run(outbox.insert(self.host, event))

    def close(self) -> None:
        self.loop.run(self.host.close())
        self.loop.runner.close()


# ---------------------------------------------------------------------------------------------------------- Django
class DjangoConnection:
    def __init__(self, dsn: str) -> None:
        if not settings.configured:
            settings.configure(
                DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}}, USE_TZ=True, LOGGING_CONFIG=None
            )
            django.setup()
        given = conninfo_to_dict(dsn)
        options = {name: given.pop(name) for name in list(given) if name not in _DJANGO_NAMES}
        wrapper = DatabaseWrapper(connections["default"].settings_dict, "default")
        wrapper.settings_dict |= {_DJANGO_NAMES[name]: str(value) for name, value in given.items()}
        wrapper.settings_dict["OPTIONS"] = options
        connections["default"] = wrapper
        self.wrapper = wrapper

    def host(self) -> DatabaseWrapper | str:
        return self.wrapper

    @contextmanager
    def transaction(self) -> Iterator[Work]:
        with transaction.atomic():
            yield Work(
                change=self.change,
                insert=lambda events: listed(outbox.insert(self.host(), events)),
                savepoint=transaction.atomic,
            )

    def change(self) -> None:
        with self.wrapper.cursor() as cursor:
            cursor.execute(CHANGE)

    def insert_outside(self, event: Event) -> None:
        outbox.insert(self.host(), event)

    def close(self) -> None:
        self.wrapper.close()
        del connections["default"]


_DJANGO_NAMES = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}


class DjangoAlias(DjangoConnection):
    def host(self) -> str:
        return "default"


# ------------------------------------------------------------------------------------------------------- plain SQL
INSERT = """
insert into outbox.event (aggregate_type, aggregate_id, type, payload, headers, topic)
values (%s, %s, %s, %s, %s, %s)
returning event_id
"""
EMIT = "select outbox.emit(%s, %s, %s, %s, %s)"


class PlainSql:
    """A host in any language: it knows nothing of ours but the table."""

    def __init__(self, dsn: str) -> None:
        self.host = psycopg.connect(dsn, autocommit=True)

    @contextmanager
    def transaction(self) -> Iterator[Work]:
        with self.host.transaction():
            yield Work(
                change=lambda: void(self.host.execute(CHANGE)),
                insert=lambda events: [self.insert(event) for event in _events(events)],
                savepoint=self.host.transaction,
            )

    def insert(self, event: Event) -> UUID:
        headers = json.dumps(dict(event.headers)) if event.headers else None
        row = (event.aggregate_type, event.aggregate_id, event.type, event.payload_text, headers, event.topic)
        return _only(self.host.execute(INSERT, row))

    def insert_outside(self, event: Event) -> None:
        self.insert(event)

    def close(self) -> None:
        self.host.close()


class Emit(PlainSql):
    """A host in any language that calls the function, which locks the key first."""

    def insert(self, event: Event) -> UUID:
        headers = json.dumps(dict(event.headers)) if event.headers else None
        row = (event.type, event.aggregate_type, event.aggregate_id, event.payload_text, headers)
        return _only(self.host.execute(EMIT, row))


def _events(events: Event | Sequence[Event]) -> Sequence[Event]:
    return [events] if isinstance(events, Event) else events


def _only(cursor: psycopg.Cursor[tuple[UUID]]) -> UUID:
    row = cursor.fetchone()
    assert row is not None
    return row[0]


PYTHON: tuple[type[Host], ...] = (
    SqlAlchemyConnection,
    SqlAlchemyConnectionOnPsycopg2,
    SqlAlchemySession,
    SqlAlchemyScopedSession,
    SqlAlchemyAsyncConnection,
    SqlAlchemyAsyncConnectionOnPsycopg,
    SqlAlchemyAsyncSession,
    Psycopg,
    PsycopgAsync,
    DjangoConnection,
    DjangoAlias,
)
SQL: tuple[type[Host], ...] = (PlainSql, Emit)
