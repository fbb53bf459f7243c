"""What a worker and the database tell each other: claims, what is about to be sent, and what came of it."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Self
from uuid import UUID

from psycopg.rows import DictRow

from mailer.delivery import Verdict


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to attempt one delivery, under its own token."""

    id: int
    token: UUID
    message_uuid: UUID
    event_id: UUID
    event_type: str
    aggregate_type: str
    aggregate_id: str
    mail: str
    lane: str
    priority: int
    recipient: str = field(repr=False)
    recipient_key: bytes = field(repr=False)
    locale: str | None
    payload: object = field(repr=False)
    attempt: int
    pinned_transport: str | None
    content: bytes | None = field(repr=False)
    claimed_at: datetime
    left: timedelta

    @classmethod
    def from_row(cls, row: DictRow) -> Self:
        """Return the claim that a row of claim.sql is."""
        return cls(
            **{name: row[name] for name in _PLAIN_COLUMNS},
            token=row["claim_token"],
            payload=json.loads(row["payload"], parse_float=Decimal) if row["payload"] is not None else None,
            left=timedelta(seconds=row["left_seconds"]),
        )


_PLAIN_COLUMNS = (
    *("id", "message_uuid", "event_id", "event_type", "aggregate_type", "aggregate_id"),
    *("mail", "lane", "priority", "recipient", "recipient_key", "locale", "attempt", "pinned_transport", "content"),
    "claimed_at",
)


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be sent for a claim, and through which transport first."""

    claim: Claim
    content: bytes = field(repr=False)
    version: str | None
    transport: str


@dataclass(frozen=True, slots=True)
class TryMade:
    """One transport's answer, as the attempt's row keeps it; *seconds_ago* is when it began."""

    transport: str
    phase: str
    code: int | None
    enhanced: str | None
    outcome: str
    detail: str
    seconds_ago: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one claim."""

    claim: Claim
    verdict: Verdict
    tries: tuple[TryMade, ...] = ()


@dataclass(frozen=True, slots=True)
class BreakerRow:
    """A transport that is not plainly well."""

    name: str
    breaker: str
    failures: int
    retry_in: timedelta


@dataclass(frozen=True, slots=True)
class Failures:
    """What a window's replies said against a transport."""

    transport: str
    count: int
    at_once: bool
    reason: str


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When a breaker opens, and for how long."""

    threshold: int
    pause: timedelta
    pause_cap: timedelta
