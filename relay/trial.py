"""Sinks for trials: they show or count what would be published, and move no position.

stdout  each record as a line of JSON     promises nothing: the same events are shown again by the next trial
null    nothing                           promises nothing: for measuring how fast events are read and encoded
kafka   see `relay.sink`                  exactly once; the only one of which that can be said

A trial reads from where the confirmed position is. It takes no lease, writes no barrier, no mirror and no dead letter,
so that it may run beside a relay without either noticing the other.
"""

import json
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Protocol

from outbox.envelope import Envelope, Record
from relay.errors import InvalidOptionError
from relay.leases import Session
from relay.machine import next_pause
from relay.patience import Stop
from relay.source import Source
from relay.window import BEGINNING, Position

ENTRY_POINTS = "outbox.sinks"


class TrialSink(Protocol):
    """Takes records, and promises nothing."""

    def publish(self, records: Sequence[Record]) -> None:
        """Take *records*, in order."""
        ...


class StdoutSink:
    """Writes each record as a line of JSON."""

    def publish(self, records: Sequence[Record]) -> None:
        """Write *records* to stdout."""
        for topic, key, value, headers in records:
            shown = {name: text.decode(errors="replace") for name, text in headers}
            line = {"topic": topic, "key": key.decode(), "value": value.decode(), "headers": shown}
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()


class NullSink:
    """Forgets each record."""

    def publish(self, records: Sequence[Record]) -> None:
        """Do nothing with *records*."""


_BUILT_IN: dict[str, Callable[[], TrialSink]] = {"stdout": StdoutSink, "null": NullSink}


def load_trial_sink(name: str) -> TrialSink:
    """Return the sink of that name: ours, or one that is installed under entry point group `outbox.sinks`."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    installed = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in installed:
        raise InvalidOptionError(
            "relay_sink", f"expected one of {', '.join(sorted({'kafka', *_BUILT_IN, *installed}))}, got {name!r}"
        )
    sink: TrialSink = installed[name].load()()
    return sink


class Trial:
    """Publishes one shard to a trial sink."""

    def __init__(self, session: Session, source: Source, *, shard: int, envelope: Envelope, sink: TrialSink) -> None:
        """Read from the confirmed position of *shard*."""
        self._source = source
        self._envelope = envelope
        self._sink = sink
        self._position, self._n = _confirmed(session, shard)

    def run(self, stop: Stop, *, drain: bool) -> int:
        """Publish until stopped, or with *drain* what is committed now; return how many events."""
        published, pause = 0, None
        if not self._position.finished:
            published += self._window(None)
        while not stop.is_set():
            found = self._window(self._source.snapshot())
            published += found
            if drain:
                break
            pause = None if found else next_pause(pause, idle_seconds=0.0)
            stop.wait(pause or 0)
        return published

    def _window(self, b: str | None) -> int:
        """Publish one window up to *b*, or the rest of the one under way; return how many events it had."""
        before = self._position
        after, published = before.last_id or 0, 0
        if b is None:
            window = self._source.resume(before, n=self._n)
        else:
            found = self._source.find(seq=before.seq + 1, a=before.next_a, b=b)
            if found is None:
                return 0
            window = found
        while True:
            page = self._source.page(window, after=after)
            self._sink.publish([self._envelope.encode(row.event) for row in page.rows])
            published += len(page.rows)
            if page.end is None:
                self._position = Position(seq=window.seq, a=window.a, b=window.b, last_id=None)
                return published
            after = page.end


def _confirmed(session: Session, shard: int) -> tuple[Position, int]:
    """Return the confirmed position, and how many events its barrier speaks of."""
    row = session.row("mirror", shard=shard)
    if row is None or row["confirmed_snap"] is None:
        return BEGINNING, 0
    last = row["confirmed_last"] if row["a"] is not None else None
    a = row["a"] if last is not None else row["confirmed_snap"]
    return Position(seq=row["confirmed_seq"], a=a, b=row["confirmed_snap"], last_id=last), row["n"]
