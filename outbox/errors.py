"""What can go wrong between a host and its outbox; every error pickles, and none carries a payload or an address."""

from dataclasses import dataclass, fields, is_dataclass
from typing import Any


class OutboxError(Exception):
    """Base of everything that `outbox` raises by itself."""

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Return what rebuilds this error from its facts, with its notes: Celery and multiprocessing pickle errors."""
        if not is_dataclass(self):
            return super().__reduce__()
        facts = tuple(getattr(self, field.name) for field in fields(self))
        return type(self), facts, dict(self.__dict__)


@dataclass(eq=False)
class InvalidEventError(OutboxError, ValueError):
    """A field of an event cannot be stored or published as it is."""

    field: str
    expected: str
    got: str

    def __str__(self) -> str:
        """Return which field, what was expected and what came instead."""
        return f"expected {self.field} of the event to be {self.expected}, got {self.got}"


@dataclass(eq=False)
class InvalidPayloadError(OutboxError, ValueError):
    """A value inside the payload has no faithful form in JSON."""

    path: str
    expected: str
    got: str

    def __str__(self) -> str:
        """Return where in the payload, what was expected and what came instead."""
        return f"expected {self.path} to be {self.expected}, got {self.got}"


@dataclass(eq=False)
class ReservedHeaderError(OutboxError, ValueError):
    """A header that the envelope writes by itself was given by the host."""

    name: str

    def __str__(self) -> str:
        """Return which header, and which names are taken."""
        return f"header {self.name!r} is written by the envelope: id, content-type, ce_* and outbox-* are reserved"


@dataclass(eq=False)
class UnsupportedHostError(OutboxError, TypeError):
    """What was given to `outbox.insert` is no connection or session that it knows."""

    got: str

    def __str__(self) -> str:
        """Return what was given, and what can be."""
        return (
            "expected a SQLAlchemy Session, Connection, AsyncSession or AsyncConnection, a psycopg Connection or "
            f"AsyncConnection, or a Django connection or its alias, got {self.got}"
        )


@dataclass(eq=False)
class MalformedRecordError(OutboxError, ValueError):
    """A Kafka record holds no event that we can read; *event_id* says whose it was, where that much could be read."""

    topic: str
    problem: str
    event_id: str | None = None

    def __str__(self) -> str:
        """Return where the record was, and what is wrong with it."""
        whose = f" (event {self.event_id})" if self.event_id else ""
        return f"record of topic {self.topic!r}{whose} is no event: {self.problem}"


@dataclass(eq=False)
class UnknownEnvelopeError(OutboxError, ValueError):
    """No installed envelope has that name."""

    name: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        """Return the name, and the names there are."""
        return f"expected an envelope of {', '.join(self.known)}, got {self.name!r}"


@dataclass(eq=False)
class InvalidRouteError(OutboxError, ValueError):
    """A route's template cannot make a topic."""

    template: str
    problem: str

    def __str__(self) -> str:
        """Return the template, and what is wrong with it."""
        return f"route {self.template!r} makes no topic: {self.problem}"


class OutsideTransactionWarning(UserWarning):
    """An event was inserted while no transaction was open: it cannot be rolled back with the change it tells of."""
