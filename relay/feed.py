"""Which page comes next: the rest of the one in hand, the one read ahead, the window under way, or the next window.

While a commit is under way the page behind it is read already; it counts only if that commit is clean. While nothing is
found A becomes B in memory only: an idle relay writes nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

from relay.source import Source
from relay.telemetry import Emit
from relay.window import Page, Position, Row, Window


class Feed:
    """The pages of one shard from a position on, until the next renewal reads the position anew."""

    def __init__(self, source: Source, position: Position, *, n: int, emit: Emit) -> None:
        """Go on behind *position*, whose window has *n* events by its barrier row."""
        self.position = position  # the last that Kafka has confirmed
        self.a = position.next_a  # where the next window begins
        self.finds = 0  # how often a window was looked for
        self._source = source
        self._n = n
        self._emit = emit
        self._hand: Page | None = None
        self._ahead: Page | None = None

    @property
    def between_windows(self) -> bool:
        """Return whether a window is finished and no page of the next is in hand."""
        return self._hand is None and self.position.finished

    def page(self) -> Page | None:
        """Return the page to publish next, out of what is known to be there; None between two windows."""
        if self._hand is None:
            self._hand, self._ahead = self._ahead, None
        if self._hand is None and self.position.last_id is not None:
            window = self._source.resume(self.position, n=self._n)
            self._hand = self._read(window, after=self.position.last_id)
        return self._hand

    def find(self) -> Page | None:
        """Return the first page of the window from A to now; None if it is empty, and A is now."""
        self._hand, self.a = self._find(seq=self.position.seq + 1, a=self.a)
        return self._hand

    def beat(self) -> Page:
        """Return an empty window, which keeps the ids of the producer from expiring."""
        window = Window(seq=self.position.seq + 1, a=self.a, b=self.a, lo=0, olds=(), n=0)
        self._hand = Page(window, (), None)
        return self._hand

    def keep(self, page: Page) -> None:
        """Have *page* in hand: it is what is left of the one that was."""
        self._hand = page

    def read_ahead(self, page: Page, after: Position, *, across: bool) -> Sequence[Row]:
        """Read what follows *page* while *after* is being committed, and return it; *across* windows if asked to."""
        if after.last_id is not None:
            if after.last_id == page.end:
                self._ahead = self._read(page.window, after=page.end)
        elif across:
            self._ahead, _ = self._find(seq=after.seq + 1, a=after.next_a)
        return self._ahead.rows if self._ahead is not None else ()

    def drop_ahead(self) -> None:
        """Forget what was read ahead: something was inserted that belongs before it."""
        self._ahead = None

    def advance(self, page: Page, count: int, after: Position) -> None:
        """Move on behind the first *count* rows of *page*, which are committed."""
        self.position, self._n = after, page.window.n
        rest = replace(page, rows=page.rows[count:])
        self._hand = None if rest.exhausted else rest
        if after.finished:
            self.a = after.next_a
            self._emit("relay.window.finished", seq=after.seq)

    def _find(self, *, seq: int, a: str) -> tuple[Page | None, str]:
        """Return the first page between *a* and now, or None; and where to look from the next time."""
        self.finds += 1
        b = self._source.snapshot()
        self._emit("relay.snapshot.taken")
        window = self._source.find(seq=seq, a=a, b=b)
        if window is None:
            return None, b
        self._emit("relay.window.found", seq=seq, n=window.n)
        page = self._read(window, after=0)
        return (None, b) if page.exhausted and page.end is None else (page, a)

    def _read(self, window: Window, *, after: int) -> Page:
        page = self._source.page(window, after=after)
        self._emit("relay.page.read", seq=window.seq, count=len(page.rows))
        return page
