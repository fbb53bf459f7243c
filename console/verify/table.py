"""What PostgreSQL says: windows, the rows that they carry, dead letters. Read-only, in statements that are short.

A statement reads some windows at a time through a cursor, so that its snapshot, which vacuum must respect, lasts as
long as those take, and memory holds a part of one. A window of ten million events is one statement all the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from console.database import Database, Row
from console.verify.scratch import short
from outbox import statements
from outbox.envelope import Route

# Events of windows read in one statement, as far as whole windows allow; and rows that travel at once.
_EVENTS = 200_000
_WINDOWS = 20_000
_FETCHED = 5_000
# Ids looked at in one statement while events are sought by their event_id, for which there is no index.
_SOUGHT = 1_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """A barrier row; *since* is when its predecessor was written."""

    seq: int
    epoch: int
    a: str
    b: str
    n: int
    at: float
    since: float


@dataclass(frozen=True, slots=True)
class ShardEnds:
    """The windows that PostgreSQL still knows of a shard, and how far its mirror says that Kafka has confirmed."""

    shard: int
    first: int
    last: int
    confirmed: int
    finished: bool
    pruned: int


class Table:
    """The outbox as it is to be verified."""

    def __init__(self, database: Database, *, shards: int, route: Route) -> None:
        """Read through *database*, which from here on writes nothing."""
        self._database = database
        self._shards = shards
        self._route = route
        database.one("set_read_only")

    def shards(self) -> list[ShardEnds]:
        """Return the shards that have published."""
        return [
            ShardEnds(
                row["shard"],
                first=row["first_seq"],
                last=row["last_seq"],
                confirmed=row["confirmed_seq"],
                finished=row["confirmed_last"] is None,
                pruned=row["pruned_seq"],
            )
            for row in self._database.rows("verify_shards")
            if row["last_seq"] is not None
        ]

    def first_where(self, ends: ShardEnds, column: str, least: float) -> int:
        """Return the first window of a shard whose *column* is *least* or more, or the one after the last.

        When a window was found, and up to where its snapshots reach, rises with its number: so it is found by halves.
        """
        low, high = ends.first, ends.last + 1
        while low < high:
            middle = (low + high) // 2
            probe = self._database.row("verify_probe", shard=ends.shard, seq=middle)
            if probe is None or probe[column] >= least:
                high = middle
            else:
                low = probe["seq"] + 1
        return low

    def window(self, shard: int, seq: int) -> Row | None:
        """Return when a window of a shard was found; None if there is no such."""
        probe = self._database.row("verify_probe", shard=shard, seq=seq)
        return probe if probe is not None and probe["seq"] == seq else None

    def transactions(self, first: int, last: int) -> tuple[int, int] | None:
        """Return between which transactions the rows of a range of ids lie; None if there are no rows."""
        row = self._database.one("verify_ids", first=first, last=last)
        return None if row["least"] is None else (row["least"], row["greatest"])

    def windows(self, shard: int, first: int, last: int) -> Iterator[list[Window]]:
        """Yield the windows of a range, as many at a time as are read at once."""
        together: list[Window] = []
        events = 0
        for window in self._windows(shard, first, last):
            together.append(window)
            events += window.n
            if events >= _EVENTS:
                yield together
                together, events = [], 0
        if together:
            yield together

    def _windows(self, shard: int, first: int, last: int) -> Iterator[Window]:
        for low in range(first, last + 1, _WINDOWS):
            high = min(last, low + _WINDOWS - 1)
            for row in self._database.rows("verify_windows", shard=shard, first=low, last=high):
                since = 0.0 if row["since"] is None else min(row["since"], row["at"])
                yield Window(row["seq"], row["epoch"], row["a"], row["b"], row["n"], row["at"], since)

    def events(self, shard: int, windows: Sequence[Window], *, judged: bool) -> Iterator[tuple[Any, ...]]:
        """Yield the events of *windows*, which are consecutive, and of what lies between, as scratch keeps them."""
        since = {window.seq: window.since for window in windows}
        bounds = {"shard": shard, "shards": self._shards, "first": windows[0].seq, "last": windows[-1].seq}
        for statement in ("verify_events", "verify_between"):
            for row in self._stream(statement, **bounds):
                yield self._kept(row, shard, since=since[row["behind"]], judged=judged)

    def astray(self, shard: int, *, a: str, low: int, high: int, since: float) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a range of ids that snapshot *a* cannot have seen, and that say it did."""
        given = {"a": a, "low": low, "high": high, "shard": shard, "shards": self._shards}
        for row in self._stream("verify_astray", **given):
            yield self._kept(row, shard, since=since, judged=True)

    def find(self, event_ids: Sequence[bytes], *, around: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows with *event_ids*, wherever they are: from the id *around* downwards, then upwards."""
        wanted = set(event_ids)
        for low, high in self._chunks(around):
            ids = [one.hex() for one in wanted]
            for row in self._database.rows("verify_find", low=low, high=high, event_ids=ids, shards=self._shards):
                wanted.discard(row["event_id"].bytes)
                yield self._kept(row, row["shard"], since=0.0, judged=False)
            if not wanted:
                return

    def _chunks(self, around: int) -> Iterator[tuple[int, int]]:
        ends = self._database.one("verify_ends")
        if ends["low"] is None:
            return
        for high in range(around, ends["low"] - 1, -_SOUGHT):
            yield high - _SOUGHT + 1, high
        for low in range(around + 1, ends["high"] + 1, _SOUGHT):
            yield low, low + _SOUGHT - 1

    def letters(self, shard: int, low: int, high: int) -> Iterator[tuple[Any, ...]]:
        """Yield the dead letters of a range of rows, as scratch keeps them."""
        for row in self._stream("verify_letters", shard=shard, low=low, high=high):
            yield shard, row["event_row_id"], row["reason"]

    def _kept(self, row: Row, shard: int, *, since: float, judged: bool) -> tuple[Any, ...]:
        kind, key = row["aggregate_type"], row["aggregate_id"]
        topic = row["topic"] or self._route.topic(kind, row["type"])
        aggregate = blake2b(f"{kind}\0{key}".encode(), digest_size=16).digest()
        place = (row["event_id"].bytes, row["id"], shard, row["seq"], int(row["tx"]))
        return *place, since, topic, short(key.encode()), aggregate, int(judged)

    def _stream(self, statement: str, **parameters: object) -> Iterator[Row]:
        """Yield the rows of a statement through a cursor of the server, in a transaction of its own."""
        from psycopg.rows import dict_row  # noqa: PLC0415 - the driver is the database's affair

        with self._database.transaction(), self._database.connection.cursor("verify", row_factory=dict_row) as cursor:
            cursor.itersize = _FETCHED
            cursor.execute(statements.load("console", statement), parameters)
            yield from cursor
