"""The facts that are compared, and what a comparison may say. No I/O.

What was read is sorted outside of memory (`scratch.py`), so that each fact is a tuple that streams by.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

# Seconds: the clocks of relay, brokers and PostgreSQL differ by less.
SKEW: Final = 60.0
# The reason of a dead letter whose event was found in its topic when a position was chosen anew: it is published.
PUBLISHED_ALREADY: Final = "already_published"


class Kind(StrEnum):
    """Which promise is broken."""

    LOST = "lost"
    DOUBLED = "doubled"
    MADE_UP = "made_up"
    DEAD_AND_PUBLISHED = "dead_and_published"
    MISPLACED = "misplaced"
    DISORDERED = "disordered"
    CHAIN = "chain"
    BARRIER = "barrier"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a promise is broken: ids and offsets, never a payload or a key."""

    kind: Kind
    problem: str
    event_id: str | None = None
    row_id: int | None = None
    shard: int | None = None
    window: int | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that cannot be judged, and why; *covered*: each event of it was judged all the same."""

    reason: str
    covered: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """Something that breaks no promise of the relay, and that somebody may want to know."""

    text: str


Said = Finding | Doubt | Note


class Row(NamedTuple):
    """A row of outbox.event. *seq* is its window: None where no window of the range holds it.

    It was not published before *since*. *letter* is the reason of its dead letter. One that is not *judged* lies
    outside of the range: its record is known, and may be absent from what was read.
    """

    event_id: bytes
    id: int
    shard: int
    seq: int | None
    since: float
    topic: str
    key: bytes
    letter: str | None
    judged: int

    @property
    def published(self) -> bool:
        """Return whether its record has to be in the topic."""
        return self.letter is None or self.letter == PUBLISHED_ALREADY


class Copy(NamedTuple):
    """A record that a read_committed consumer sees; its event was made at *made_at*, as far as the record says so."""

    event_id: bytes
    topic: str
    partition: int
    offset: int
    key: bytes
    made_at: float


class Placed(NamedTuple):
    """A record beside the row that it is of, in the order in which consumers read the records of one aggregate."""

    topic: str
    aggregate: bytes
    partition: int
    offset: int
    shard: int
    seq: int
    id: int
    event_id: bytes


class Link(NamedTuple):
    """A progress record, beside the barrier row of its window: None where there is none."""

    offset: int
    seq: int
    prev_seq: int
    epoch: int
    a: str
    b: str
    last_id: int | None
    n: int
    sha: str
    owner: str
    barrier_a: str | None
    barrier_b: str | None
    barrier_epoch: int | None
    barrier_at: float | None


@dataclass(frozen=True, slots=True)
class Cut:
    """Retention of Kafka has deleted the beginning of a partition; the first record that is left is of *first_at*."""

    first_at: float | None


@dataclass(slots=True)
class TopicState:
    """What may be said of a topic: *compacted* is None where we may not read its settings.

    *cuts* are partitions whose beginning is deleted, *undecided* those whose end an open transaction hides.
    """

    partitions: int
    compacted: bool | None = False
    cuts: dict[int, Cut] = field(default_factory=dict)
    undecided: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back what was read goes, in seconds since 1970: records, and rows that retention may have deleted.

    Rows older than *pruned_before*, and progress records older than *compacted_before*, may be gone.
    """

    read_from: float
    pruned_before: float
    compacted_before: float
    topics: Mapping[str, TopicState] = field(default_factory=dict)


def name(event_id: bytes) -> str:
    """Return an event id as people write it."""
    return str(UUID(bytes=event_id))
