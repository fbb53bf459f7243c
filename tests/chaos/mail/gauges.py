"""How many permits are out, and how many wait in the broker: looked at all the time, the most is kept."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Self

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

PAUSE_SECONDS = 0.25


class Gauges:
    """One thread that looks; `most` is by lane, `most_waiting` is of the queue in the broker."""

    def __init__(self, dsn: str, waiting: Callable[[], int]) -> None:
        """Prepare; nothing is looked at before the block is entered."""
        self._dsn = dsn
        self._waiting = waiting
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._permits), threading.Thread(target=self._broker)]
        self.most: dict[str, int] = {}
        self.most_waiting = 0
        self.looks = 0

    def __enter__(self) -> Self:
        """Start to look."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _permits(self) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            with (
                contextlib.suppress(psycopg.OperationalError),
                psycopg.connect(self._dsn, autocommit=True) as connection,
            ):
                while not self._stop.wait(PAUSE_SECONDS):
                    for lane, count in connection.execute("select lane, count(*) from outbox.permit group by lane"):
                        self.most[lane] = max(self.most.get(lane, 0), count)
                    self.looks += 1

    def _broker(self) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            # A broker that is being killed says in many ways that it is not there.
            with contextlib.suppress(Exception):
                self.most_waiting = max(self.most_waiting, self._waiting())
