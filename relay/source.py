"""Where the relay reads: windows and their pages, parked keys, and scheduled events that are due."""

from dataclasses import replace
from typing import Any

from psycopg import Connection
from psycopg.rows import tuple_row

from outbox import statements
from outbox.envelope import StoredEvent
from relay.lease import DeadHead
from relay.window import Page, Position, Row, Window


def _sql(name: str) -> str:
    return statements.load("relay", name)


class Source:
    """Reads for one shard, on the connection that holds its lease."""

    def __init__(self, connection: Connection[Any], *, shard: int, shards: int, rows: int, page_bytes: int) -> None:
        """Read pages of at most *rows* events and about *page_bytes*."""
        self._connection = connection
        self._shard = shard
        self._shards = shards
        self._rows = rows
        self._bytes = page_bytes

    def snapshot(self) -> str:
        """Return which transactions have finished: the B of the next window."""
        return str(self._value("current_snapshot"))

    def find(self, *, seq: int, a: str, b: str) -> Window | None:
        """Return the window between *a* and *b*; None when nothing in it can be an event."""
        if a == b:
            return None
        window = self._window(seq=seq, a=a, b=b)
        return window if window.n or window.olds else None

    def resume(self, position: Position, *, n: int) -> Window:
        """Return the window that *position* is in the middle of, of *n* events by its barrier row."""
        return replace(self._window(seq=position.seq, a=position.a, b=position.b), n=n)

    def _window(self, *, seq: int, a: str, b: str) -> Window:
        lo, hi, n = self._row("find_range", a=a, b=b)
        olds = tuple(self._value("old_transactions", a=a, b=b))
        return Window(seq=seq, a=a, b=b, lo=lo, hi=hi, olds=olds, n=n)

    def page(self, window: Window, *, after: int) -> Page:
        """Return the rows of *window* behind id *after*."""
        cursor = self._connection.cursor(binary=True, row_factory=tuple_row)
        cursor.execute(
            _sql("read_page"),
            {
                "a": window.a,
                "b": window.b,
                "lo": window.lo,
                "hi": window.hi,
                "olds": list(window.olds),
                "last": after,
                "rows": self._rows,
                "bytes": self._bytes,
                "shard": self._shard,
                "shards": self._shards,
            },
        )
        found = cursor.fetchall()
        end = found[-1][0] if found and found[-1][-1] else None
        event = StoredEvent._make
        return Page(window, tuple([Row(row[0], event(row[1:9])) for row in found]), end)

    def parked_keys(self) -> dict[tuple[str, str], int]:
        """Return the keys whose events wait, and the dead letter that each waits for."""
        return {(kind, key): head for head, kind, key in self._all("parked_keys", shard=self._shard)}

    def releasable_heads(self) -> list[DeadHead]:
        """Return the heads of parked keys that an operator has resolved."""
        return [DeadHead(*row) for row in self._all("releasable_keys", shard=self._shard)]

    def release_due(self, *, rows: int) -> int:
        """Turn up to *rows* scheduled events that are due into ordinary ones, and return how many."""
        return int(self._value("release_due", rows=rows)) if self._value("next_due") else 0

    def _all(self, name: str, **parameters: object) -> list[tuple[Any, ...]]:
        with self._connection.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(_sql(name), parameters).fetchall()

    def _row(self, name: str, **parameters: object) -> tuple[Any, ...]:
        return self._all(name, **parameters)[0]

    def _value(self, name: str, **parameters: object) -> Any:  # noqa: ANN401  # whatever the column is
        return self._all(name, **parameters)[0][0]
