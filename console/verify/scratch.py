"""A file that sorts: what was read of PostgreSQL and Kafka, and the same again in another order.

Memory stays at some megabytes however long the range is; the file takes about 200 bytes an event and its record. It is
SQLite's, in the folder for temporary files (`TMPDIR`), has no name that others could open, and goes with the command.
"""

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

from console.verify.chain import Member, Missing
from console.verify.facts import Copy, Link, Placed, Row
from console.verify.judging import LONGEST_KEY
from outbox import statements

# Rows written at once: a call a row would take three times as long.
_TOGETHER = 10_000
# Kibibytes of SQLite's cache; negative is its way to say so.
_CACHE = -64_000


def short(key: bytes) -> bytes:
    """Return *key*, or a digest that is longer than any key that is kept whole."""
    return key if len(key) <= LONGEST_KEY else blake2b(key, digest_size=32).digest() * 2 + b"#"


class Scratch:
    """What was read, to be sorted."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Make the tables."""
        self._connection = connection
        for pragma in ("journal_mode = off", "synchronous = off", f"cache_size = {_CACHE}"):
            connection.execute(f"pragma {pragma}")
        connection.executescript(self._text("schema"))

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Self]:
        """Yield an empty one, and delete it in the end."""
        with tempfile.TemporaryDirectory(prefix="outbox-verify-") as folder:
            connection = sqlite3.connect(Path(folder) / "scratch", isolation_level=None)
            try:
                yield cls(connection)
            finally:
                connection.close()

    def add(self, table: str, rows: Iterable[tuple[Any, ...]]) -> int:
        """Put *rows* into *table*, and return how many they were."""
        count = 0
        for together in _batched(rows):
            marks = ", ".join("?" * len(together[0]))
            self._connection.execute("begin")
            self._connection.executemany(f"insert or ignore into {table} values ({marks})", together)  # noqa: S608 - our own names
            self._connection.execute("commit")
            count += len(together)
        return count

    def index(self) -> None:
        """Make what the joins look up."""
        self._connection.executescript(self._text("indexes"))

    # -------------------------------------------------------------------------------------------------- reading

    def rows(self) -> Iterator[Row]:
        """Yield the events by event id."""
        return map(Row._make, self._run("events_by_id"))

    def copies(self) -> Iterator[Copy]:
        """Yield the records by event id."""
        return map(Copy._make, self._run("records_by_id"))

    def placed(self) -> Iterator[Placed]:
        """Yield the first record of each event, aggregate by aggregate."""
        return map(Placed._make, self._run("records_by_key"))

    def links(self, shard: int) -> Iterator[Link]:
        """Yield the progress records of *shard* in their order."""
        return map(Link._make, self._run("progress_by_offset", shard))

    def members(self, shard: int) -> Iterator[Member]:
        """Yield the rows that the windows of *shard* publish."""
        return map(Member._make, self._run("ids_by_window", shard))

    def missing(self, shard: int, first: int, last: int) -> Iterator[Missing]:
        """Yield the windows of a range that no progress record speaks of."""
        return map(Missing._make, self._run("unrecorded", shard, first, last))

    def strangers(self) -> Iterator[bytes]:
        """Yield event ids of records without a row."""
        return (event_id for (event_id,) in self._run("strangers"))

    def topics(self) -> set[str]:
        """Return the topics of the events."""
        return {topic for (topic,) in self._run("topics")}

    def span(self, shard: int) -> tuple[int, int] | None:
        """Return the smallest and the largest id of a row of *shard*; None if there is none."""
        low, high = self._connection.execute(self._text("span"), (shard,)).fetchone()
        return None if low is None else (low, high)

    def young(self, shard: int, xmax: int) -> tuple[int | None, int | None]:
        """Return the smallest id of the judged transactions from *xmax* on, and the largest of all that are judged."""
        low, high = self._connection.execute(self._text("young"), (shard, xmax)).fetchone()
        return low, high

    def counts(self) -> tuple[int, int, int]:
        """Return how many events of the range there are, how many of them have dead letters, and how many records."""
        events, letters, records = self._connection.execute(self._text("counts")).fetchone()
        return events, letters, records

    def _run(self, statement: str, *parameters: int) -> Iterator[tuple[Any, ...]]:
        return self._connection.execute(self._text(statement), parameters)

    def _text(self, statement: str) -> str:
        return statements.load("console.verify", statement)


def _batched(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    together: list[tuple[Any, ...]] = []
    for row in rows:
        together.append(row)
        if len(together) == _TOGETHER:
            yield together
            together = []
    if together:
        yield together
