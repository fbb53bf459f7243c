"""Hosts that insert sign-ups at a steady rate: some commit, some roll back, some commit late."""

from __future__ import annotations

import contextlib
import json
import time

import psycopg

from tests.chaos.mail.hosting import ROLLED_BACK_SHARE, Host

LATE_SHARE = 0.1
AGGREGATES = 50


class Writer(Host):
    """One thread that inserts; `committed` counts the events of committed transactions."""

    def __init__(self, dsn: str, *, rate: float, seed: int) -> None:
        """Prepare; nothing is written before the block is entered."""
        super().__init__(dsn, seed=seed)
        self._interval = 1 / rate
        self.committed = 0

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
