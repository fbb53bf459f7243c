"""Dead letters: list them, show one whole, and resolve many, a batch a transaction, at a rate."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from console import dead_filter
from console.database import Database, Row
from console.dead_filter import Filter
from console.errors import NotFoundError

Action = Literal["redrive", "discard"]
# Rows in one transaction: few enough that their locks are short, enough that a thousand take a second.
BATCH: Final = 200
MOST_COUNTED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the dead letters that match, the newest first."""

    matched: int
    at_least: bool
    dead_letters: list[Row]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be resolved, before anything is."""

    ids: list[int]
    kinds: list[tuple[str, str, str, int]]  # stage, reason, type, how many
    held_behind: int  # left out of a redrive: they follow their head
    unfit: int = 0  # of ids given: not there, or resolved already


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one dead letter."""

    id: int
    done: bool
    outcome: str


@dataclass(slots=True)
class Result:
    """What came of all of them, so far as it went."""

    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Return how many were resolved."""
        return sum(outcome.done for outcome in self.outcomes)

    @property
    def refused(self) -> list[Outcome]:
        """Return those that were not, with why."""
        return [outcome for outcome in self.outcomes if not outcome.done]


def listed(database: Database, wanted: Filter, *, resolved: bool, before: int | None, limit: int) -> Page:
    """Return a page of what *wanted* matches."""
    matched = database.query(dead_filter.count(wanted, resolved=resolved, most=MOST_COUNTED))[0]["count"]
    rows = database.query(dead_filter.page(wanted, resolved=resolved, before=before, limit=limit + 1))
    return Page(matched, matched >= MOST_COUNTED, rows[:limit], rows[limit - 1]["id"] if len(rows) > limit else None)


def shown(database: Database, dead_letter_id: int, *, content: bool) -> dict[str, object]:
    """Return everything about one dead letter; its *content* (payload, headers, the record) only when wanted."""
    letter = database.row("dead_letter", id=dead_letter_id)
    if letter is None:
        raise NotFoundError("dead letter", str(dead_letter_id))
    whole: dict[str, object] = {"dead_letter": letter, "delivery": None, "attempts": []}
    if letter["delivery_id"] is not None:
        whole["delivery"] = database.row("delivery", id=letter["delivery_id"])
        whole["attempts"] = database.rows("attempts", id=letter["delivery_id"])
    whole["actions"] = database.rows("actions", target=f"dead_letter {dead_letter_id}")
    if content:
        kept = dict(database.row("dead_letter_content", id=dead_letter_id) or {})
        if letter["delivery_id"] is not None:
            kept |= database.row("delivery_content", id=letter["delivery_id"]) or {}
        whole["content"] = kept
    return whole


def plan(database: Database, wanted: Filter, *, action: Action) -> Plan:
    """Return what *action* would resolve; ids given are taken as they are: the database refuses each by name."""
    rows = database.query(dead_filter.plan(wanted, heads_only=False))
    held = 0
    if action == "redrive" and not wanted.ids:
        heads = [row for row in rows if row["behind"] is None]
        held, rows = len(rows) - len(heads), heads
    kinds = Counter((row["stage"], row["reason"], row["type"] or "") for row in rows)
    ids = list(dict.fromkeys(wanted.ids)) if wanted.ids else [row["id"] for row in rows]
    return Plan(ids, [(*kind, number) for kind, number in kinds.most_common()], held, unfit=len(ids) - len(rows))


def resolve(
    database: Database,
    ids: Sequence[int],
    *,
    action: Action,
    reason: str,
    per_second: float | None,
    pause: Callable[[float], bool],
) -> Iterator[Result]:
    """Yield what has come of *ids* after every batch; stop early once *pause* says so.

    Each batch is one transaction, so that stopping leaves whole rows only. *pause* waits, and returns whether to stop.
    """
    result = Result()
    size = BATCH if per_second is None else max(1, min(BATCH, int(per_second)))
    for start in range(0, len(ids), size):
        batch = list(ids[start : start + size])
        rows = database.rows(f"{action}_many", ids=batch, reason=reason)
        result.outcomes.extend(Outcome(row["id"], row["done"], row["outcome"]) for row in rows)
        yield result
        last = start + size >= len(ids)
        if not last and pause(len(batch) / per_second if per_second else 0):
            return
