"""Which dead letters are meant: by id, or by what they are.

Here alone a statement is put together from parts, for the filters vary; SQLAlchemy Core does it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import sqlalchemy as sa

from console.moments import Moment
from console.statement import Statement, compiled, moment_column
from outbox.schema import METADATA, SCHEMA

letters = METADATA.tables[f"{SCHEMA}.dead_letter"]
LISTED = [
    letters.c[name]
    for name in (
        "id", "stage", "reason", "event_id", "type", "aggregate_type", "aggregate_id", "topic", "mail", "delivery_id",
        "parks", "behind", "attempts", "created_at", "resolved_at", "resolution", "redrive_pending",
    )
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filter:
    """What a dead letter must be; what is not given does not matter."""

    ids: tuple[int, ...] = ()
    stage: str | None = None
    reason: str | None = None
    type: str | None = None
    mail: str | None = None
    aggregate: str | None = None
    since: Moment | None = None
    until: Moment | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether every dead letter is meant."""
        return all(not getattr(self, field.name) for field in fields(self))

    def conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        """Yield what a row must fulfil."""
        if self.ids:
            yield letters.c.id == sa.any_(sa.bindparam("ids", list(self.ids), sa.ARRAY(sa.BigInteger)))
        for column, value in (
            (letters.c.stage, self.stage),
            (letters.c.reason, self.reason),
            (letters.c.mail, self.mail),
        ):
            if value:
                yield column == value
        if self.type:
            pattern = self.type.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_").replace("*", "%")
            yield letters.c.type.like(pattern) if "*" in self.type else letters.c.type == self.type
        if self.aggregate:
            kind, colon, key = self.aggregate.partition(":")
            yield letters.c.aggregate_type == kind
            if colon:
                yield letters.c.aggregate_id == key
        if self.since is not None:
            yield letters.c.created_at >= moment_column(self.since)
        if self.until is not None:
            yield letters.c.created_at < moment_column(self.until)


def page(wanted: Filter, *, resolved: bool, before: int | None, limit: int) -> Statement:
    """Return the statement that lists dead letters, the newest first, from below the id *before*."""
    listed = sa.select(*LISTED).where(*_where(wanted, resolved=resolved)).order_by(letters.c.id.desc()).limit(limit)
    return compiled(listed if before is None else listed.where(letters.c.id < before))


def count(wanted: Filter, *, resolved: bool, most: int) -> Statement:
    """Return the statement that counts them, up to *most*."""
    some = sa.select(letters.c.id).where(*_where(wanted, resolved=resolved)).limit(most).subquery()
    return compiled(sa.select(sa.func.count().label("count")).select_from(some))


def plan(wanted: Filter, *, heads_only: bool) -> Statement:
    """Return the statement that finds the unresolved ones to act upon, in the order in which they failed."""
    chosen = sa.select(letters.c.id, letters.c.stage, letters.c.reason, letters.c.type, letters.c.behind)
    chosen = chosen.where(*_where(wanted, resolved=False)).order_by(letters.c.id)
    return compiled(chosen.where(letters.c.behind.is_(None)) if heads_only else chosen)


def _where(wanted: Filter, *, resolved: bool) -> Iterator[sa.ColumnElement[bool]]:
    yield from wanted.conditions()
    if not resolved:
        yield letters.c.resolved_at.is_(None)
