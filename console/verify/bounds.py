"""Which windows are to be verified: as an operator asks for them, and as far as PostgreSQL and Kafka know them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from console.moments import Moment
from console.verify.facts import SKEW
from console.verify.table import ShardEnds, Table

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operator asks for: by time, by window or by id; of all shards or one."""

    since: Moment = HOUR
    until: Moment | None = None
    windows: tuple[int, int] | None = None
    ids: tuple[int, int] | None = None
    shard: int | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """The windows of one shard that are judged, from *first* to *last*: none if that is smaller.

    *open* says that the range goes up to what is confirmed now; *forgotten*, that older windows were asked for.
    """

    ends: ShardEnds
    first: int
    last: int
    open: bool
    forgotten: bool = False

    @property
    def shard(self) -> int:
        """Return whose they are."""
        return self.ends.shard

    @property
    def empty(self) -> bool:
        """Return whether there is nothing to judge."""
        return self.last < self.first

    def confirmed(self, finished: Mapping[int, int]) -> "Bounds":
        """Return the part that Kafka has confirmed; where it holds no record, PostgreSQL's mirror says how far."""
        ends = self.ends
        upto = finished.get(self.shard, ends.confirmed if ends.finished else ends.confirmed - 1)
        return replace(self, last=min(self.last, upto), open=self.open or upto <= self.last)


def bound(table: Table, ends: ShardEnds, asked: Asked, *, now: float) -> Bounds:
    """Return the windows of a shard that *asked* means; *now* is the database's, in seconds since 1970."""
    if asked.shard not in {None, ends.shard}:
        return Bounds(ends, ends.last + 1, ends.last, open=True)
    if asked.windows is not None:
        first, last = asked.windows
        kept = Bounds(ends, max(first, ends.first), min(last, ends.last), open=last >= ends.last)
        return replace(kept, forgotten=first < ends.first and ends.first > 0)
    if asked.ids is not None:
        return _of_ids(table, ends, asked.ids)
    since = _at(asked.since, now)
    first = table.first_where(ends, "at", since)
    last = ends.last if asked.until is None else table.first_where(ends, "at", _at(asked.until, now)) - 1
    oldest = table.window(ends.shard, ends.first)
    forgotten = ends.first > 0 and oldest is not None and since < oldest["at"]
    return Bounds(ends, first, last, open=last >= ends.last, forgotten=forgotten)


def _of_ids(table: Table, ends: ShardEnds, ids: tuple[int, int]) -> Bounds:
    between = table.transactions(*ids)
    if between is None:
        return Bounds(ends, ends.last + 1, ends.last, open=True)
    first = table.first_where(ends, "xmax", between[0] + 1)
    last = min(table.first_where(ends, "xmin", between[1] + 1), ends.last)
    return Bounds(ends, first, last, open=last >= ends.last)


def _at(moment: Moment, now: float) -> float:
    return now - moment.total_seconds() if isinstance(moment, timedelta) else moment.timestamp()


def read_from(table: Table, bounds: Iterable[Bounds]) -> float:
    """Return from when on records of the range may have been published, by the brokers' clock.

    That is when the window before it was written: a later term may have written the first one's `at` anew. With several
    shards one that was idle for a week would have all of the others' week be read: then an hour has to do, and what
    may be older is not judged.
    """
    judged = [bound for bound in bounds if not bound.empty]
    begun = [_at_of(table, bound.shard, bound.first) for bound in judged]
    before = [_at_of(table, bound.shard, bound.first - 1) or at for bound, at in zip(judged, begun, strict=True)]
    if not judged:
        return 0.0
    earliest = min(before) if len(judged) == 1 else max(min(before), min(begun) - HOUR.total_seconds())
    return max(0.0, earliest - SKEW)


def read_until(table: Table, bounds: Iterable[Bounds]) -> float | None:
    """Return up to when records are looked at; None for all of them, where a range reaches up to now."""
    latest = 0.0
    for one in bounds:
        if one.empty:
            continue
        after = table.window(one.shard, one.last + 1)
        if one.open or after is None:
            return None
        latest = max(latest, after["at"])
    return latest + SKEW if latest else None


def _at_of(table: Table, shard: int, seq: int) -> float:
    window = table.window(shard, seq)
    return float(window["at"]) if window is not None else 0.0
