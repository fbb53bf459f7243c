"""One module a host stack, each optional: it runs the one statement on the host's own connection, and nothing else.

In: a connection or session of SQLAlchemy, psycopg or Django, and events. Out: the rows, inside the host's transaction.
The adapter is chosen by where the connection's class comes from, so that only the stack in use is imported.
"""

from collections.abc import Coroutine, Sequence
from importlib import import_module
from typing import Any, Protocol, cast, overload
from uuid import UUID

from outbox.errors import InvalidEventError
from outbox.event import Event
from outbox.insert import Parameters, plan, unsupported, warn_outside_transaction

_STACKS = ("sqlalchemy", "psycopg", "django")


class _Rows(Protocol):
    """What a synchronous `execute` gives back, and no awaitable has."""

    def fetchone(self) -> Any: ...  # noqa: ANN401 - the driver's edge


class SyncHost(Protocol):
    """A SQLAlchemy Session, scoped_session or Connection, or a psycopg Connection."""

    def execute(self, *args: Any, **kwargs: Any) -> _Rows: ...  # noqa: ANN401, D102 - the driver's edge


class AsyncHost(Protocol):
    """A SQLAlchemy AsyncSession or AsyncConnection, or a psycopg AsyncConnection."""

    def execute(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]: ...  # noqa: ANN401, D102 - as above


class DjangoHost(Protocol):
    """A Django connection: `django.db.connection`, or one of `django.db.connections`."""

    alias: str
    in_atomic_block: bool


class _Adapter(Protocol):
    """What each module of this package has. *host* is what `outbox.insert` was given."""

    def accepts(self, host: object, /) -> bool: ...
    def is_async(self, host: Any, /) -> bool: ...  # noqa: ANN401 - each adapter takes its own stack's types
    def in_transaction(self, host: Any, /) -> bool: ...  # noqa: ANN401
    def insert(self, host: Any, parameters: Parameters, /) -> None: ...  # noqa: ANN401
    async def insert_async(self, host: Any, parameters: Parameters, /) -> None: ...  # noqa: ANN401


@overload
def insert(host: SyncHost | DjangoHost | str, events: Event, /) -> UUID: ...
@overload
def insert(host: SyncHost | DjangoHost | str, events: Sequence[Event], /) -> list[UUID]: ...
@overload
def insert(host: AsyncHost, events: Event, /) -> Coroutine[Any, Any, UUID]: ...
@overload
def insert(host: AsyncHost, events: Sequence[Event], /) -> Coroutine[Any, Any, list[UUID]]: ...
def insert(host: object, events: Event | Sequence[Event], /) -> object:
    """Insert one event or many in the transaction of *host*; return the event_id or their list, awaitable if async.

    *host* is a connection or session of SQLAlchemy or psycopg, a Django connection, or the alias of one. Many events
    are one statement. Nothing is committed, flushed or begun; it warns if no transaction is open.
    """
    many = _checked(events)
    adapter = _adapter(host)
    if many and not adapter.in_transaction(host):
        warn_outside_transaction(stack_level=2)
    insertion = plan(many)
    answer = insertion.event_ids[0] if isinstance(events, Event) else insertion.event_ids
    if adapter.is_async(host):
        return _insert_and_return(adapter.insert_async(host, insertion.parameters) if many else None, answer)
    if many:
        adapter.insert(host, insertion.parameters)
    return answer


async def _insert_and_return(insertion: Coroutine[Any, Any, None] | None, answer: object) -> object:
    """Return *answer* once the events are inserted."""
    if insertion is not None:
        await insertion
    return answer


def _checked(events: object) -> list[Event]:
    """Return the events as a list; refuse what is no event before a statement is run."""
    if isinstance(events, Event):
        return [events]
    if not isinstance(events, Sequence):
        raise InvalidEventError("argument 'events'", "an Event or a sequence of them", type(events).__qualname__)
    for position, event in enumerate(events):
        if not isinstance(event, Event):
            raise InvalidEventError(f"element {position}", "an Event", type(event).__qualname__)
    return list(events)


def _adapter(host: object) -> _Adapter:
    """Return the adapter for *host*, by the package that its class, or a base of it, comes from."""
    packages = [base.__module__.partition(".")[0] for base in type(host).__mro__]
    stack = "django" if isinstance(host, str) else next((name for name in packages if name in _STACKS), None)
    if stack is not None:
        adapter = cast("_Adapter", import_module(f"outbox.hosts.{stack}"))
        if adapter.accepts(host):
            return adapter
    raise unsupported(f"{type(host).__module__}.{type(host).__qualname__}")
