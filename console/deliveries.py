"""Deliveries: list them, show one whole, and settle what is in doubt; each action is one audited transaction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from console.database import Database
from console.errors import NotFoundError, RefusedError
from console.moments import Moment
from console.statement import Statement, compiled, moment_column
from outbox.schema import METADATA, SCHEMA

_deliveries = METADATA.tables[f"{SCHEMA}.delivery"]
_LISTED = [
    _deliveries.c[name]
    for name in (
        "id", "event_id", "event_type", "mail", "lane", "state", "cycle", "attempt", "next_attempt_at", "claimed_by",
        "claimed_until", "pinned_transport", "created_at", "finished_at",
    )
]  # fmt: skip
IN_DOUBT: Final = "in_doubt"


@dataclass(frozen=True, slots=True)
class Filter:
    """What a delivery must be; what is not given does not matter."""

    state: str | None = None
    mail: str | None = None
    event_id: str | None = None
    since: Moment | None = None
    until: Moment | None = None

    def conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        """Yield what a row must fulfil."""
        columns = _deliveries.c
        for column, value in ((columns.state, self.state), (columns.mail, self.mail)):
            if value:
                yield column == value
        if self.event_id:
            yield columns.event_id == sa.cast(self.event_id, sa.Uuid(as_uuid=False))
        if self.since is not None:
            yield columns.created_at >= moment_column(self.since)
        if self.until is not None:
            yield columns.created_at < moment_column(self.until)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one delivery."""

    id: int
    done: bool
    outcome: str


def page(wanted: Filter, *, before: int | None, limit: int) -> Statement:
    """Return the statement that lists deliveries, the newest first, from below the id *before*."""
    listed = sa.select(*_LISTED).where(*wanted.conditions()).order_by(_deliveries.c.id.desc()).limit(limit)
    return compiled(listed if before is None else listed.where(_deliveries.c.id < before))


def ids_of(wanted: Filter) -> Statement:
    """Return the statement that finds the ids to act upon, the oldest first."""
    return compiled(sa.select(_deliveries.c.id).where(*wanted.conditions()).order_by(_deliveries.c.id))


def shown(database: Database, delivery_id: int, *, content: bool) -> dict[str, Any]:
    """Return everything about one delivery; its *content* (recipient and payload) only when wanted."""
    delivery = database.row("delivery", id=delivery_id)
    if delivery is None:
        raise NotFoundError("delivery", str(delivery_id))
    whole: dict[str, Any] = {
        "delivery": delivery,
        "attempts": database.rows("attempts", id=delivery_id),
        "actions": database.rows("actions", target=f"delivery {delivery_id}"),
    }
    if content:
        whole["content"] = database.row("delivery_content", id=delivery_id)
    return whole


def resend(database: Database, ids: Sequence[int], *, reason: str) -> list[Outcome]:
    """Queue each of *ids* again; what may have arrived may then arrive twice, which is the operator's decision."""
    return [_outcome(database, "resend_delivery", id=one, reason=reason) for one in ids]


def close(database: Database, ids: Sequence[int], *, as_state: str, reason: str) -> list[Outcome]:
    """Say of each of *ids* that it is *as_state*, `sent` or `cancelled`."""
    return [_outcome(database, "settle_delivery", id=one, as_state=as_state, reason=reason) for one in ids]


def _outcome(database: Database, statement: str, **parameters: Any) -> Outcome:  # noqa: ANN401 - a driver's edge
    try:
        return Outcome(parameters["id"], done=True, outcome=database.one(statement, **parameters)["outcome"])
    except RefusedError as refused:
        return Outcome(parameters["id"], done=False, outcome=str(refused))
