"""The promise as decisions: rows of PostgreSQL and records of Kafka in, violations out; no I/O.

Each committed event exactly once in (topics or dead letters), and never in both · none that PostgreSQL does not have ·
order per key · the chain of progress records unbroken, each with the count and digest of its transaction's events and
its barrier row · nothing by an older epoch after a newer one · a redriven event carried on once · nothing deleted
before it was published. See protocol 5; the rules are checked by other means than the relay's.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any


class Kind(StrEnum):
    """Which promise is broken."""

    LOST = "lost"
    DOUBLED = "doubled"
    MADE_UP = "made up"
    DISORDERED = "out of order"
    DEAD_AND_PUBLISHED = "dead letter and published"
    MISPLACED = "wrong topic or key"
    REDRIVEN = "redriven wrongly"
    CHAIN = "broken chain"
    EPOCH = "older epoch after newer"
    BARRIER = "missing or other barrier"
    PAGE = "count or digest of a page"
    GAP = "between two windows"
    PRUNED = "deleted too early"
    OPEN = "open transaction"


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where a promise is broken."""

    kind: StrEnum
    text: str

    def __str__(self) -> str:
        """Return it as a line."""
        return f"{self.kind}: {self.text}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A pg_snapshot, read by other means than the relay's."""

    xmax: int
    running: frozenset[int]

    @classmethod
    def of(cls, text: str) -> "Snapshot":
        """Return the snapshot that PostgreSQL writes as *text*."""
        _, xmax, running = text.split(":")
        return cls(int(xmax), frozenset(int(tx) for tx in running.split(",") if tx))

    def sees(self, tx: int) -> bool:
        """Return whether *tx* had ended."""
        return tx < self.xmax and tx not in self.running


@dataclass(frozen=True, slots=True)
class Event:
    """A row of outbox.event, as it was inserted; *deleted* by retention meanwhile or not."""

    id: int
    tx: int
    event_id: str
    key: tuple[str, str]
    topic: str
    shard: int = 0
    redriven_from: str | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter of the publish stage."""

    row: int
    event_id: str
    resolution: str | None = None
    redriven_as: str | None = None
    pending: bool = False
    left_out: bool = False  # by a resync, which found the event published


@dataclass(frozen=True, slots=True)
class Barrier:
    """A row of outbox.batch."""

    shard: int
    seq: int
    epoch: int
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class Published:
    """One record that a consumer sees."""

    topic: str
    partition: int
    offset: int
    key: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Rows:
    """What PostgreSQL has; *identity* is (install, generation, sysid)."""

    identity: tuple[str, int, int]
    shards: int
    events: Sequence[Event]
    letters: Sequence[Letter] = ()
    barriers: Mapping[tuple[int, int], Barrier] = field(default_factory=dict)


# -------------------------------------------------------------------------------------------------------- events


def exactly_once(rows: Rows, published: Sequence[Published], *, complete: bool) -> Iterable[Violation]:
    """Yield events that are lost (if all should be there: *complete*), doubled, made up or in two places."""
    known = {event.event_id: event for event in rows.events}
    dead = {letter.event_id for letter in rows.letters if not letter.left_out}
    counts = Counter(record.event_id for record in published)
    for event_id, count in counts.items():
        event = known.get(event_id)
        name = f"event {event_id} (id {event.id}, tx {event.tx})" if event else f"event {event_id}"
        if event is None:
            yield Violation(Kind.MADE_UP, f"{name} is published, and PostgreSQL has no such event")
        if count > 1:
            yield Violation(Kind.DOUBLED, f"{name} is published {count} times")
        if event_id in dead:
            yield Violation(Kind.DEAD_AND_PUBLISHED, f"{name} is published, and has a dead letter")
    for event_id, event in known.items():
        if event_id in counts or event_id in dead:
            continue
        name = f"event {event_id} (id {event.id}, tx {event.tx})"
        if event.deleted:
            yield Violation(Kind.PRUNED, f"{name} was deleted, and is neither published nor a dead letter")
        elif complete:
            yield Violation(Kind.LOST, f"{name} is neither published nor a dead letter")


def in_place(rows: Rows, published: Sequence[Published]) -> Iterable[Violation]:
    """Yield records under another topic or key than their event's, and keys that are spread over partitions."""
    known = {event.event_id: event for event in rows.events}
    partitions: dict[tuple[str, str], set[int]] = defaultdict(set)
    for record in published:
        event = known.get(record.event_id)
        if event is not None and (record.topic, record.key) != (event.topic, event.key[1]):
            found = f"{record.topic} under {record.key!r}"
            yield Violation(Kind.MISPLACED, f"event {event.event_id} of {event.topic}, {event.key} is in {found}")
        partitions[record.topic, record.key].add(record.partition)
    for (topic, key), found_in in partitions.items():
        if len(found_in) > 1:
            yield Violation(Kind.DISORDERED, f"key {key!r} of {topic} is spread over partitions {sorted(found_in)}")


def in_order(
    rows: Rows, published: Sequence[Published], *, unordered: str | None = None, parked: bool = False
) -> Iterable[Violation]:
    """Yield keys whose records are out of order: by id, whatever window they fell into.

    That is emit order where hosts lock the key (rule 7); keys that begin with *unordered* are of hosts that do not.
    With *parked*, what is redriven keeps its first place: later events of the key have waited for it.
    """
    known = {event.event_id: event for event in rows.events}
    per_key: dict[tuple[str, int, tuple[str, str]], list[Event]] = defaultdict(list)
    for record in published:  # in the order of offsets, within a partition
        event = known.get(record.event_id)
        if event is not None and not (unordered and event.key[1].startswith(unordered)):
            per_key[record.topic, record.partition, event.key].append(event)
    for (_, _, key), sequence in per_key.items():
        for before, after in pairwise(sequence):
            if after.id < before.id:
                yield Violation(Kind.DISORDERED, f"key {key}: id {after.id} comes after {before.id}")
            elif parked and (first := _origin(after, known).id) < (second := _origin(before, known).id):
                text = f"key {key}: what was emitted as id {first} comes after what was emitted as {second}"
                yield Violation(Kind.DISORDERED, text)


def _origin(event: Event, known: Mapping[str, Event]) -> Event:
    """Return the event that *event* carries on, however often it was redriven."""
    while event.redriven_from is not None and (former := known.get(event.redriven_from)) is not None:
        event = former
    return event


def redriven_once(rows: Rows) -> Iterable[Violation]:
    """Yield dead letters whose event was not carried on, or was more than once, or by an event that nobody redrove."""
    known = {event.event_id for event in rows.events}
    carried = Counter(event.redriven_from for event in rows.events if event.redriven_from is not None)
    redriven = {letter.event_id for letter in rows.letters if letter.resolution == "redriven"}
    for letter in rows.letters:
        if letter.event_id in redriven and not letter.pending and letter.redriven_as not in known:
            text = f"event {letter.event_id} was redriven as {letter.redriven_as}, which does not exist"
            yield Violation(Kind.REDRIVEN, text)
    for event_id, count in carried.items():
        if count > 1:
            yield Violation(Kind.REDRIVEN, f"event {event_id} was redriven {count} times")
        if event_id not in redriven:
            yield Violation(Kind.REDRIVEN, f"event {event_id} was redriven, and no dead letter says so")


# ------------------------------------------------------------------------------------------------------ progress


def unbroken(rows: Rows, progress: Sequence[Mapping[str, Any]]) -> Iterable[Violation]:
    """Yield breaks in the chain of each shard's progress records, in the order of their offsets."""
    before: dict[int, Mapping[str, Any]] = {}
    for record in since_chosen(progress):
        shard = record["shard"]
        where = f"progress {shard}/{record['seq']}"
        if (record["install"], record["gen"], record["sysid"]) != rows.identity:
            yield Violation(Kind.CHAIN, f"{where} is foreign: {record}")
        if record["prev_seq"] != max(record["seq"] - 1, 0) and not chosen(record):
            yield Violation(Kind.CHAIN, f"{where} names {record['prev_seq']} as its predecessor")
        yield from _barred(where, rows.barriers.get((shard, record["seq"])), record)
        if shard in before:
            yield from _link(where, before[shard], record)
        elif record["seq"] != 0 and not chosen(record):
            yield Violation(Kind.CHAIN, f"{where} is the first record")
        before[shard] = record
    yield from _chosen_above(progress)


def chosen(record: Mapping[str, Any]) -> bool:
    """Return whether an operator has chosen the position of *record*: it publishes nothing, and has no predecessor."""
    return bool(record["seq"] > 0 and record["prev_seq"] == record["seq"] and record["n"] == 0)


def since_chosen(progress: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the records of each shard from the last chosen one on; what was before may not fit."""
    last = {record["shard"]: place for place, record in enumerate(progress) if chosen(record)}
    return [record for place, record in enumerate(progress) if place >= last.get(record["shard"], 0)]


def _chosen_above(progress: Sequence[Mapping[str, Any]]) -> Iterable[Violation]:
    """Yield chosen records that are not of a newer epoch and window than all before them: they fence nobody."""
    above: dict[int, tuple[int, int]] = {}
    for record in progress:
        epoch, seq = above.get(record["shard"], (-1, -1))
        if chosen(record) and (record["epoch"] <= epoch or record["seq"] <= seq):
            text = f"progress {record['shard']}/{record['seq']} was chosen below epoch {epoch}, window {seq}"
            yield Violation(Kind.EPOCH, text)
        above[record["shard"]] = (max(epoch, record["epoch"]), max(seq, record["seq"]))


def _barred(where: str, barrier: Barrier | None, record: Mapping[str, Any]) -> Iterable[Violation]:
    if barrier is None or (barrier.a, barrier.b) != (record["a"], record["b"]):
        yield Violation(Kind.BARRIER, f"{where} has no barrier row with its snapshots: {barrier}")
    elif barrier.epoch < record["epoch"]:
        yield Violation(Kind.BARRIER, f"{where} is of epoch {record['epoch']}, its barrier of {barrier.epoch}")
    elif record["last_id"] is None and barrier.epoch != record["epoch"]:
        # Only a window that is not finished may be taken up by a later term, which writes its barrier anew.
        text = f"{where} finished its window in epoch {record['epoch']}, its barrier is of {barrier.epoch}"
        yield Violation(Kind.BARRIER, text)


def _link(where: str, before: Mapping[str, Any], record: Mapping[str, Any]) -> Iterable[Violation]:
    if record["epoch"] < before["epoch"]:
        yield Violation(Kind.EPOCH, f"{where} of epoch {record['epoch']} follows one of epoch {before['epoch']}")
    if record["seq"] == before["seq"]:
        same = (record["a"], record["b"]) == (before["a"], before["b"])
        if before["last_id"] is None or not same:
            yield Violation(Kind.CHAIN, f"{where} goes on in a window that was finished, or has other snapshots")
        elif record["last_id"] is not None and record["last_id"] <= before["last_id"]:
            yield Violation(Kind.CHAIN, f"{where} goes back from {before['last_id']} to {record['last_id']}")
    elif record["seq"] != before["seq"] + 1:
        yield Violation(Kind.CHAIN, f"{where} follows {before['seq']}")
    elif before["last_id"] is not None:
        yield Violation(Kind.CHAIN, f"{where} begins before {before['seq']} was finished")


class _Index:
    """The published-or-lost ids of one shard, found by the transactions that inserted them."""

    def __init__(self, rows: Rows, shard: int) -> None:
        dead = {letter.row for letter in rows.letters}
        self._ids: dict[int, list[int]] = defaultdict(list)
        for event in rows.events:
            if event.shard == shard and event.id not in dead:
                self._ids[event.tx].append(event.id)
        self._txs = sorted(self._ids)

    def between(self, a: Snapshot, b: Snapshot) -> list[int]:
        """Return, in order, the ids that *b* sees and *a* does not."""
        fresh = self._txs[bisect_left(self._txs, a.xmax) : bisect_left(self._txs, b.xmax)]
        seen = [tx for tx in (*fresh, *a.running) if b.sees(tx) and not a.sees(tx)]
        return sorted(one for tx in set(seen) for one in self._ids.get(tx, ()))


def pages(rows: Rows, progress: Sequence[Mapping[str, Any]]) -> Iterable[Violation]:
    """Yield records whose count or digest is not that of their page, and events that lie between two windows."""
    for shard in range(rows.shards):
        index = _Index(rows, shard)
        before: Mapping[str, Any] | None = None
        window: list[int] = []
        for record in (record for record in since_chosen(progress) if record["shard"] == shard):
            a = Snapshot.of(record["a"])
            if before is None or before["seq"] != record["seq"]:
                window = index.between(a, Snapshot.of(record["b"]))
                if before is not None and (left := index.between(Snapshot.of(before["b"]), a)):
                    text = f"events {left} of shard {shard} lie between {before['seq']} and {record['seq']}"
                    yield Violation(Kind.GAP, text)
                low = 0
            else:
                low = before["last_id"] or 0
            end = len(window) if record["last_id"] is None else bisect_right(window, record["last_id"])
            ids = window[bisect_right(window, low) : end]
            digest = hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()
            if (record["n"], record["sha"]) != (len(ids), digest) and not chosen(record):
                text = f"progress {shard}/{record['seq']} speaks of {record['n']} events, its page has {ids}"
                yield Violation(Kind.PAGE, text)
            before = record


# ---------------------------------------------------------------------------------------------------- partitions


def closed(stable: Mapping[tuple[str, int], int], written: Mapping[tuple[str, int], int]) -> Iterable[Violation]:
    """Yield partitions on which a transaction is open: their last *stable* offset is before what is *written*."""
    for place, end in written.items():
        if stable[place] != end:
            text = f"a transaction is open on {place}: stable up to {stable[place]}, written up to {end}"
            yield Violation(Kind.OPEN, text)
