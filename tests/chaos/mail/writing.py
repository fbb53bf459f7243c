"""Hosts that insert sign-ups at a steady rate: some commit, some roll back, some commit late."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from typing import TYPE_CHECKING, Self

import psycopg

if TYPE_CHECKING:
    from types import TracebackType

ROLLED_BACK_SHARE = 0.1
LATE_SHARE = 0.1
AGGREGATES = 50


class Writer:
    """One thread that inserts; `committed` counts the events of committed transactions."""

    def __init__(self, dsn: str, *, rate: float, seed: int) -> None:
        """Prepare; nothing is written before the block is entered."""
        self._dsn = dsn
        self._interval = 1 / rate
        self._chance = random.Random(seed)  # noqa: S311 - replayable, not secret
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, name="writer")
        self.committed = 0

    def __enter__(self) -> Self:
        """Start to write."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def stop(self) -> None:
        """Stop and wait until the last transaction has ended."""
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        with contextlib.ExitStack() as stack:
            prompt = stack.enter_context(psycopg.connect(self._dsn))
            late = stack.enter_context(psycopg.connect(self._dsn))
            number = open_late = 0
            began = time.monotonic()
            while not self._stop.wait(max(0.0, began + number * self._interval - time.monotonic())):
                number += 1
                kind = self._chance.random()
                if kind < LATE_SHARE:
                    self._insert(late, f"late-{number}", number)
                    open_late += 1
                    if self._chance.random() < LATE_SHARE:
                        late.commit()
                        self.committed += open_late
                        open_late = 0
                    continue
                self._insert(prompt, str(number % AGGREGATES), number)
                if kind < LATE_SHARE + ROLLED_BACK_SHARE:
                    prompt.rollback()
                else:
                    prompt.commit()
                    self.committed += 1
            late.commit()
            self.committed += open_late

    @staticmethod
    def _insert(connection: psycopg.Connection, aggregate_id: str, number: int) -> None:
        payload = json.dumps(
            {"email": f"user{number}@example.com", "verification_url": f"https://example.com/v/{number}"}
        )
        connection.execute(
            "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
            " values ('user', %s, 'user.registered', %s::json)",
            (aggregate_id, payload),
        )
