"""Where a shard goes on, and what that publishes twice or leaves out: what `outbox relay resync` decides.

A position states which events count as published. The *base* is the newest position that this database can prove: what
lies before it was published in this very history. Every choice but `beginning` and `now` is judged against what the
topics hold, so that it can be shown before anything changes.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from relay.lease import Accepted, Batch, Installation, Term, judge_position
from relay.window import BEGINNING, Position, Progress, digest, xmax

_EXAMPLES = 5


class Choice(StrEnum):
    """What an operator trusts."""

    TOPICS = "topics"  # the base, and every event that is found in the topics is left out: exact
    KAFKA = "kafka"  # the last progress record, though PostgreSQL cannot prove it
    POSTGRES = "postgres"  # the mirror, though Kafka may be ahead of it, or behind
    BEGINNING = "beginning"  # nothing counts as published: everything that is retained comes again
    NOW = "now"  # everything that is committed counts as published


class Identity(StrEnum):
    """Whether a database that was moved or copied goes on under its name, or under one of its own."""

    AS_IT_IS = "as it is"
    SAME = "--same-install"
    NEW = "--new-install"


@dataclass(frozen=True, slots=True)
class MirrorRow:
    """How far the shard is confirmed, as PostgreSQL was told."""

    epoch: int
    bootstrapped: bool
    confirmed_seq: int
    snapshot: str | None
    last_id: int | None
    a: str | None  # of the window of confirmed_seq; None: its barrier row is gone
    n: int
    newest_seq: int  # of any window that PostgreSQL remembers, also of one that was never committed

    @property
    def position(self) -> Position | None:
        """Return the position that it states; None if it states none."""
        if self.snapshot is None:
            return None
        if self.last_id is None:
            return Position(self.confirmed_seq, self.a or self.snapshot, self.snapshot, None)
        return Position(self.confirmed_seq, self.a, self.snapshot, self.last_id) if self.a is not None else None


# A shard that no relay has taken up yet.
UNTOUCHED = MirrorRow(0, bootstrapped=False, confirmed_seq=0, snapshot=None, last_id=None, a=None, n=0, newest_seq=0)


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a shard: *records* are the progress records that can be read, the oldest first."""

    shard: int
    installation: Installation
    mirror: MirrorRow
    records: tuple[Progress, ...]
    foreign: bool  # the last record of the partition is none of ours
    proven: Progress | None  # the newest record that this database can prove
    proven_n: int
    now: str


@dataclass(frozen=True, slots=True)
class Target:
    """Where the shard is to go on: *position* has the new seq; *n* is the size of its window, for the barrier row."""

    choice: Choice
    position: Position
    n: int
    epoch_above: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The choice cannot be made here."""

    reason: str


def judge_record(record: Progress, *, installation: Installation, batch: Batch | None, now: str) -> bool:
    """Return whether this database can prove *record*, whatever cluster and generation it was written under."""
    identity = replace(installation, gen=record.gen, sysid=record.sysid)
    term = Term(record.shard, record.epoch, bootstrapped=True, pruned_seq=0, confirmed_seq=0)
    verdict = judge_position(record, foreign=False, installation=identity, term=term, batch=batch, now=now)
    return isinstance(verdict, Accepted)


def base(situation: Situation) -> tuple[Position, int]:
    """Return the newest position that this database proves, with the size of its window; BEGINNING if there is none."""
    mirror, record = situation.mirror.position, situation.proven
    if record is not None and (mirror is None or _reach(record.position) >= _reach(mirror)):
        return record.position, situation.proven_n
    return (mirror, situation.mirror.n) if mirror is not None else (BEGINNING, 0)


def target(situation: Situation, choice: Choice) -> Target | Refused:
    """Return where *choice* has the shard go on; it never names transactions that are yet to begin (rule 5)."""
    found = _chosen(situation, choice)
    if isinstance(found, Refused):
        return found
    position, n = found
    if xmax(position.b) > xmax(situation.now):
        return Refused(
            f"that position has seen transactions up to {xmax(position.b)}, PostgreSQL is at {xmax(situation.now)}: "
            "events that are yet to be inserted would count as published"
        )
    seqs = (situation.mirror.newest_seq, situation.mirror.confirmed_seq, *(record.seq for record in situation.records))
    epochs = (situation.mirror.epoch, *(record.epoch for record in situation.records))
    return Target(choice, replace(position, seq=max(seqs) + 1), n, max(epochs))


def _chosen(situation: Situation, choice: Choice) -> tuple[Position, int] | Refused:
    match choice:
        case Choice.TOPICS:
            return base(situation)
        case Choice.KAFKA:
            return _of_kafka(situation)
        case Choice.POSTGRES:
            position = situation.mirror.position
            none = Refused("outbox.shard states no position, or the barrier row of its window is gone")
            return none if position is None else (position, situation.mirror.n)
        case Choice.BEGINNING:
            return BEGINNING, 0
        case Choice.NOW:
            return Position(0, situation.now, situation.now, None), 0


def _of_kafka(situation: Situation) -> tuple[Position, int] | Refused:
    if situation.foreign or not situation.records:
        what = "its last record is none of ours" if situation.foreign else "it has no record"
        return Refused(f"{situation.installation.progress_topic} states no position: {what}")
    record = situation.records[-1]
    return record.position, situation.proven_n if record == situation.proven else 0


def floor(*positions: Position) -> int:
    """Return the oldest transaction that one of *positions* may not count as wholly published."""
    return min(xmin(position.b if position.finished else position.a) for position in positions)


def xmin(snapshot: str) -> int:
    """Return the oldest transaction that was in progress when *snapshot* was taken."""
    return int(snapshot.split(":", maxsplit=1)[0])


def _reach(position: Position) -> tuple[int, bool, int]:
    return position.seq, position.finished, position.last_id or 0


def progress_record(installation: Installation, shard: int, *, epoch: int, position: Position) -> Progress:
    """Return the record that states *position*: it publishes nothing, and says by `prev_seq` that a chain begins."""
    return Progress(
        install=installation.install,
        gen=installation.gen,
        sysid=installation.sysid,
        shard=shard,
        epoch=epoch,
        seq=position.seq,
        prev_seq=position.seq,
        a=position.a,
        b=position.b,
        last_id=position.last_id,
        n=0,
        sha=digest(()),
    )


# ------------------------------------------------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event that the choice may concern; *covered* says whether the position counts it as published."""

    id: int
    event_id: str
    topic: str
    created_at: str
    covered: bool


@dataclass(frozen=True, slots=True)
class Some:
    """Some events, as they are shown."""

    count: int = 0
    first_id: int | None = None
    last_id: int | None = None
    first_at: str | None = None
    last_at: str | None = None
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Effects:
    """What a choice does: *publish* holds *twice*; *lose* is what would never be published."""

    publish: Some
    twice: Some
    lose: Some
    leave_out: Some
    left_out: tuple[int, ...] = ()  # the rows of *leave_out*


def effects(choice: Choice, candidates: Sequence[Candidate], found: Collection[str]) -> Effects:
    """Return what *choice* does with *candidates*, of which *found* are in the topics already, by event id."""
    behind = [one for one in candidates if not one.covered]
    again = [one for one in behind if one.event_id in found]
    lost = [one for one in candidates if one.covered and one.event_id not in found]
    if choice is not Choice.TOPICS:
        return Effects(publish=some(behind), twice=some(again), lose=some(lost), leave_out=some(()))
    fresh = [one for one in behind if one.event_id not in found]
    rows = tuple(sorted(one.id for one in again))
    return Effects(publish=some(fresh), twice=some(()), lose=some(lost), leave_out=some(again), left_out=rows)


def some(candidates: Iterable[Candidate]) -> Some:
    """Return how many *candidates* there are, from where to where, with examples."""
    ordered = sorted(candidates, key=lambda one: one.id)
    if not ordered:
        return Some()
    times = sorted(one.created_at for one in ordered)
    examples = tuple(one.event_id for one in ordered[:_EXAMPLES])
    return Some(len(ordered), ordered[0].id, ordered[-1].id, times[0], times[-1], examples)
