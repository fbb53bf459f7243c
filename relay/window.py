"""The window: which events are published next, and the position that is left behind them.

The position is a PostgreSQL snapshot, not a number. A window is what snapshot B sees and snapshot A did not: an event
whose transaction commits late is in a later window, so nothing is missed and nothing waits for a long transaction.
Its events go in the order of their ids (rule 7), a page at a time; each page carries the position after it in the
same Kafka transaction. When a window is finished its B becomes the next A.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from outbox.envelope import StoredEvent

# The snapshot of an installation that has published nothing: 3 is the first transaction id there can be.
ORIGIN = "3:3:"
VERSION = 1
BIGGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Position:
    """How far a shard is published: the window *seq*, and the last id of it, or None when it is finished."""

    seq: int
    a: str
    b: str
    last_id: int | None

    @property
    def finished(self) -> bool:
        """Return whether the whole window is published."""
        return self.last_id is None

    @property
    def next_a(self) -> str:
        """Return where the next window begins."""
        return self.b

    def reaches(self, other: "Position") -> bool:
        """Return whether we are as far as *other*, or further."""
        return self.seq > other.seq or (self.seq == other.seq and reaches(self.last_id, other.last_id))


def reaches(last_id: int | None, other: int | None) -> bool:
    """Return whether *last_id* is as far in a window as *other*, or further; None is its end."""
    return last_id is None or (other is not None and last_id >= other)


BEGINNING = Position(seq=0, a=ORIGIN, b=ORIGIN, last_id=None)


@dataclass(frozen=True, slots=True)
class Window:
    """What snapshot *b* sees and snapshot *a* did not.

    *lo* is below every id of the transactions that began after A, and none is above *hi* (rule 10: taken from rows).
    *olds* are the transactions that A saw in progress and B has seen end. *n* counts the range, also what B does not
    see yet.
    """

    seq: int
    a: str
    b: str
    lo: int
    olds: tuple[str, ...]
    n: int
    hi: int = BIGGEST_ID


class Row(NamedTuple):
    """An event of a page, and its place in the order of ids. A tuple, for a page has thousands."""

    id: int
    event: StoredEvent

    @property
    def key(self) -> tuple[str, str]:
        """Return the aggregate, whose events keep their order."""
        return self.event.aggregate_type, self.event.aggregate_id


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one window in the order of their ids; *end* is the last id, or None when they finish the window."""

    window: Window
    rows: tuple[Row, ...]
    end: int | None

    def position_after(self, count: int) -> Position:
        """Return the position behind the first *count* rows."""
        last_id = self.end if count == len(self.rows) else self.rows[count - 1].id
        return Position(seq=self.window.seq, a=self.window.a, b=self.window.b, last_id=last_id)

    def without(self, count: int) -> "Page":
        """Return the page without its first *count* rows."""
        return replace(self, rows=self.rows[count:])

    @property
    def exhausted(self) -> bool:
        """Return whether no row is left of it."""
        return not self.rows


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress record: the position, and whose it is (rule 12). It commits with the events before it."""

    install: str
    gen: int
    sysid: int
    shard: int
    epoch: int
    seq: int
    prev_seq: int
    a: str
    b: str
    last_id: int | None
    n: int
    sha: str
    v: int = VERSION

    @property
    def position(self) -> Position:
        """Return the position that the record states."""
        return Position(seq=self.seq, a=self.a, b=self.b, last_id=self.last_id)

    @property
    def key(self) -> bytes:
        """Return the key under which compaction keeps the newest."""
        return f"{self.install}/{self.gen}/{self.shard}".encode()

    def encode(self) -> bytes:
        """Return the record's value."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()


_NUMBERS = ("v", "gen", "sysid", "shard", "epoch", "seq", "prev_seq", "n")
_TEXTS = ("install", "a", "b", "sha")
_BIGINT = 2**63  # PostgreSQL could not look for a larger one


def decode_progress(value: bytes | None) -> Progress | None:
    """Return the progress record in *value*; None if it is none of ours, whatever it is."""
    try:
        facts = json.loads(value or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(facts, dict) or set(facts) != {*_NUMBERS, *_TEXTS, "last_id"} or facts["v"] != VERSION:
        return None
    numbers = all(isinstance(facts[name], int) and abs(facts[name]) < _BIGINT for name in _NUMBERS)
    texts = all(isinstance(facts[name], str) for name in _TEXTS)
    last_id = facts["last_id"] is None or isinstance(facts["last_id"], int)
    return Progress(**facts) if numbers and texts and last_id else None


def digest(ids: Iterable[int]) -> str:
    """Return the SHA-256 of the row ids of a page, in decimal and joined by commas."""
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()


def xmax(snapshot: str) -> int:
    """Return the first transaction id that had not begun when *snapshot* was taken."""
    return int(snapshot.split(":")[1])
