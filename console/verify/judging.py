"""Events: each row once in its topic or a dead letter, no record without a row, order per key. No I/O.

The relay's own tests read everything back with a checker of their own (`tests/support/promises.py`). The two share no
line on purpose: a mistake in one would else hide the same mistake in the relay from both.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter

from console.murmur2 import partition_of
from console.verify.facts import SKEW, Copy, Doubt, Finding, Kind, Note, Placed, Reach, Row, Said, TopicState, name

# A key longer than this is compared by its digest, which does not say its partition.
LONGEST_KEY = 64

Group = tuple[bytes, Sequence[Row], Sequence[Copy]]


def compare(rows: Iterable[Row], copies: Iterable[Copy], reach: Reach) -> Iterator[Said]:
    """Yield what is wrong with events and their records; both come in the order of the event ids."""
    for event_id, of_row, of_copy in joined(rows, copies):
        if not of_row:
            yield from (_without_row(copy, reach) for copy in of_copy)
        else:
            yield from _judged(event_id, of_row, of_copy, reach)


def joined(rows: Iterable[Row], copies: Iterable[Copy]) -> Iterator[Group]:
    """Yield each event id with its rows and its records; both come in the order of the event ids."""
    left = groupby(rows, itemgetter(0))
    right = groupby(copies, itemgetter(0))
    row, copy = next(left, None), next(right, None)
    while row is not None or copy is not None:
        if copy is None or (row is not None and row[0] < copy[0]):
            assert row is not None  # noqa: S101 - one of them is there, and it is not the copy
            yield row[0], tuple(row[1]), ()
            row = next(left, None)
        elif row is None or copy[0] < row[0]:
            yield copy[0], (), tuple(copy[1])
            copy = next(right, None)
        else:
            yield row[0], tuple(row[1]), tuple(copy[1])
            row, copy = next(left, None), next(right, None)


def _without_row(copy: Copy, reach: Reach) -> Said:
    if copy.made_at < reach.pruned_before:
        return Doubt(f"{copy.topic}: records of events so old that retention may have deleted their rows")
    return _found(Kind.MADE_UP, "is in Kafka, and PostgreSQL has no such event", copy)


def _judged(event_id: bytes, rows: Sequence[Row], copies: Sequence[Copy], reach: Reach) -> Iterator[Said]:
    wanted = sum(row.published for row in rows)
    if len(rows) > 1:
        yield Note(f"event id {name(event_id)} was given to {len(rows)} rows by their hosts")
    if wanted == 0 and copies:
        yield _found(Kind.DEAD_AND_PUBLISHED, f"is in Kafka, and a dead letter ({rows[0].letter})", copies[0], rows[0])
    elif len(copies) > wanted:
        places = ", ".join(f"{copy.topic}/{copy.partition}@{copy.offset}" for copy in copies)
        yield _found(Kind.DOUBLED, f"is {len(copies)} times in Kafka: {places}", copies[wanted], rows[0])
    elif missing := wanted - len(copies):
        yield from (_absent(row, reach) for row in rows if row.judged and row.published and missing > 0)
    for copy in copies:
        if not any((row.topic, row.key) == (copy.topic, copy.key) for row in rows):
            where = "under another key" if copy.topic == rows[0].topic else f"in {copy.topic}"
            yield _found(Kind.MISPLACED, f"belongs to {rows[0].topic}, and is {where}", copy, rows[0])


def _absent(row: Row, reach: Reach) -> Said:
    if reason := _hidden(row, reach):
        return Doubt(reason)
    problem = "is neither in Kafka nor a dead letter"
    if row.seq is None:
        problem += ", and in no window: somebody wrote its tx, or chose a position behind it"
    return Finding(
        Kind.LOST,
        f"event {name(row.event_id)} (row {row.id}) of {row.topic} {problem}",
        event_id=name(row.event_id),
        row_id=row.id,
        shard=row.shard,
        window=row.seq,
        topic=row.topic,
    )


def _hidden(row: Row, reach: Reach) -> str | None:
    """Return why the record of *row* may be absent although it was published; None if it may not."""
    topic = reach.topics.get(row.topic)
    if topic is None:
        return f"{row.topic}: there is no such topic; it was deleted or renamed, or another route was in force"
    if topic.compacted is None:
        return f"{row.topic}: we may not read its settings, so perhaps it is compacted"
    if topic.compacted:
        return f"{row.topic}: it is compacted, so an event may be gone behind a later one of its key"
    if row.since < reach.read_from:
        return f"{row.topic}: events that may have been published before what was read"
    return _unread(row, topic)


def _unread(row: Row, topic: TopicState) -> str | None:
    """Return which part of *topic* could not be read, if the record of *row* may be there."""
    known = len(row.key) <= LONGEST_KEY
    partitions = {partition_of(row.key, topic.partitions)} if known else set(range(topic.partitions))
    if partitions & topic.undecided:
        return f"{row.topic}: a transaction is open in partition {min(partitions & topic.undecided)}, and hides its end"
    for partition in sorted(partitions & topic.cuts.keys()):
        first_at = topic.cuts[partition].first_at
        if first_at is None or row.since <= first_at + SKEW:
            return f"{row.topic}: Kafka has deleted the beginning of partition {partition}"
    return None


def _found(kind: Kind, problem: str, copy: Copy, row: Row | None = None) -> Finding:
    event = f"event {name(copy.event_id)}" + (f" (row {row.id})" if row else "")
    return Finding(
        kind,
        f"{event} {problem}",
        event_id=name(copy.event_id),
        row_id=row.id if row else None,
        shard=row.shard if row else None,
        window=row.seq if row else None,
        topic=copy.topic,
        partition=copy.partition,
        offset=copy.offset,
    )


def in_order(placed: Iterable[Placed]) -> Iterator[Said]:
    """Yield aggregates whose records are out of order; they come by topic, aggregate, partition and offset.

    The relay's order is that of windows, and of ids within one. That is emit order where hosts lock the aggregate
    before they emit (rule 7): where they do not, a later window may hold a smaller id, and that is theirs.
    """
    overtaken = 0
    for before, after in pairwise(placed):
        if (before.topic, before.aggregate) != (after.topic, after.aggregate):
            continue
        if before.partition != after.partition:
            yield _disordered(f"lies in another partition than row {before.id} of the same aggregate", after)
        elif (after.seq, after.id) < (before.seq, before.id):
            yield _disordered(f"comes after row {before.id} of window {before.seq}, of the same aggregate", after)
        elif after.id < before.id:
            overtaken += 1
    if overtaken:
        yield Note(
            f"{overtaken} events were inserted before and committed after another of their aggregate: their hosts do "
            "not lock it before they emit, and consumers see the order of the commits"
        )


def _disordered(problem: str, placed: Placed) -> Finding:
    return Finding(
        Kind.DISORDERED,
        f"event {name(placed.event_id)} (row {placed.id}, window {placed.seq}) {problem}",
        event_id=name(placed.event_id),
        row_id=placed.id,
        shard=placed.shard,
        window=placed.seq,
        topic=placed.topic,
        partition=placed.partition,
        offset=placed.offset,
    )
