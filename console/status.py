"""What waits, what is stuck and who holds it, as one value: what `outbox status` and the web page show.

Cheap on large tables: every number comes from an index that holds only what is unsettled; a table too large to count
is sampled, and the answer says so.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from console.database import Database, Row
from relay.lease import LOCK_SPACE
from relay.replicas import WAITING

DELIVERY_STATES: Final = (
    "queued", "claimed", "sending", "sent", "in_doubt", "dead", "suppressed", "expired", "cancelled", "bounced",
)  # fmt: skip
# Above this the table is sampled: 64 MB are counted in about a tenth of a second.
COUNTED_BYTES: Final = 64 * 1024 * 1024
# More unresolved dead letters than this are not counted one by one: by then the exact number helps nobody.
MOST_DEAD_LETTERS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Holder:
    """The session that holds a shard's lease."""

    pid: int
    application: str | None
    since: datetime | None
    address: str | None


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """One shard: its mirror of the position, what waits for it, and who publishes it."""

    shard: int
    epoch: int
    bootstrapped: bool
    confirmed_seq: int
    confirmed_at: datetime | None
    pruned_seq: int
    halted_reason: str | None
    halted_at: datetime | None
    backlog: int
    holder: Holder | None

    @property
    def waits(self) -> bool:
        """Return whether it goes on by itself once the brokers are mended."""
        return (self.halted_reason or "").startswith(WAITING)


@dataclass(frozen=True, slots=True)
class DeadLetterCount:
    """Unresolved dead letters of one kind."""

    stage: str
    reason: str
    count: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """All unresolved dead letters; *at_least* says that there were more than are counted."""

    unresolved: int
    at_least: bool
    by_reason: tuple[DeadLetterCount, ...]
    redrives_pending: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that retention and vacuum cannot pass."""

    pid: int
    application: str
    user_name: str | None
    state: str | None
    since: datetime | None
    age_seconds: float | None
    writes: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in one lane, and for how long the oldest has."""

    lane: str
    count: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Breaker:
    """One transport, and whether it is used."""

    name: str
    breaker: str
    failures: int
    reason: str | None
    opened_at: datetime | None
    retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Events kept aside until they are due."""

    waiting: int
    overdue: int
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that an operator asks first."""

    backlog: int
    oldest_unpublished_seconds: float | None
    shards: tuple[ShardStatus, ...]
    oldest_transaction: OpenTransaction | None
    scheduled: Scheduled
    dead_letters: DeadLetters
    deliveries: Mapping[str, int]
    deliveries_estimated: bool
    due: tuple[Waiting, ...]
    permits: tuple[Waiting, ...]
    breakers: tuple[Breaker, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return asdict(self)


def read(database: Database) -> Status:
    """Return the status of *database* now."""
    backlog = database.rows("backlog")
    oldest = [row["oldest_seconds"] for row in backlog if row["oldest_seconds"] is not None]
    deliveries, estimated = count_deliveries(database)
    transaction = database.row("oldest_transaction")
    return Status(
        backlog=sum(row["backlog"] for row in backlog),
        oldest_unpublished_seconds=max(oldest, default=None),
        shards=_shards(database.rows("shards", space=LOCK_SPACE), {row["shard"]: row["backlog"] for row in backlog}),
        oldest_transaction=OpenTransaction(**transaction) if transaction else None,
        scheduled=Scheduled(**database.one("scheduled")),
        dead_letters=_dead_letters(database),
        deliveries=deliveries,
        deliveries_estimated=estimated,
        due=tuple(Waiting(**row) for row in database.rows("deliveries_due")),
        permits=tuple(Waiting(**row) for row in database.rows("permits")),
        breakers=tuple(Breaker(**row) for row in database.rows("breakers")),
    )


def _shards(rows: list[Row], backlog: Mapping[int, int]) -> tuple[ShardStatus, ...]:
    return tuple(
        ShardStatus(
            **{name: row[name] for name in row if not name.startswith("holder_")},
            backlog=backlog.get(row["shard"], 0),
            holder=_holder(row),
        )
        for row in rows
    )


def _holder(row: Row) -> Holder | None:
    if row["holder_pid"] is None:
        return None
    return Holder(row["holder_pid"], row["holder_application"], row["holder_since"], row["holder_address"])


def _dead_letters(database: Database) -> DeadLetters:
    kinds = tuple(DeadLetterCount(**row) for row in database.rows("dead_letters_by_reason", most=MOST_DEAD_LETTERS))
    unresolved = sum(kind.count for kind in kinds)
    pending = {row["stage"]: row["count"] for row in database.rows("redrives_pending")}
    return DeadLetters(unresolved, unresolved >= MOST_DEAD_LETTERS, kinds, pending)


def count_deliveries(database: Database, *, counted_bytes: int = COUNTED_BYTES) -> tuple[Mapping[str, int], bool]:
    """Return deliveries by state, every state named, and whether the finished ones are an estimate."""
    counts = dict.fromkeys(DELIVERY_STATES, 0)
    size = database.one("deliveries_size")["bytes"]
    if size <= counted_bytes:
        return counts | {row["state"]: row["count"] for row in database.rows("deliveries_all")}, False
    percent = 100 * min(1, COUNTED_BYTES / size)
    sampled = database.rows("deliveries_sampled", percent=percent)
    counts |= {row["state"]: math.ceil(row["count"] * 100 / percent) for row in sampled}
    return counts | {row["state"]: row["count"] for row in database.rows("deliveries_under_way")}, True
