"""Hosts that insert as fast as mails leave, so that workers always have something to send, however fast they are."""

from __future__ import annotations

import contextlib
import json
import uuid

import psycopg

from tests.chaos.mail.hosting import ROLLED_BACK_SHARE, Host

AT_A_TIME = 20
PAUSE_SECONDS = 0.1
_INSERT = (
    "insert into outbox.event (event_id, aggregate_type, aggregate_id, type, payload)"
    " values (%s, 'user', %s, %s, %s::json)"
)
_SETTLED = "select count(*) from outbox.delivery where state not in ('queued', 'claimed', 'sending')"


class Load(Host):
    """One thread that keeps *outstanding* mails on their way. One half is sent again when in doubt, one is held."""

    def __init__(self, dsn: str, *, outstanding: int, seed: int) -> None:
        """Prepare; nothing is written before the block is entered."""
        super().__init__(dsn, seed=seed)
        self._outstanding = outstanding
        self._number = 0
        self.acknowledged: set[str] = set()
        self.rolled_back: set[str] = set()

    def _write(self) -> None:
        while not self._stop.is_set():
            # A database that is being killed: what had no answer may be there or not, and is asked of nobody.
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self._dsn) as connection:
                while not self._stop.wait(PAUSE_SECONDS):
                    self._top_up(connection)

    def _top_up(self, connection: psycopg.Connection) -> None:
        row = connection.execute(_SETTLED).fetchone()
        connection.rollback()
        settled = int(row[0]) if row else 0
        missing = self._outstanding - (len(self.acknowledged) - settled)
        for _ in range(0, missing, AT_A_TIME):
            self._insert(connection)

    def _insert(self, connection: psycopg.Connection) -> None:
        """Insert some events in one transaction, which is rolled back now and then."""
        events = {str(uuid.uuid4()): self._next() for _ in range(AT_A_TIME)}
        with connection.cursor() as cursor:
            cursor.executemany(_INSERT, [(event, *fields) for event, fields in events.items()])
        if self._chance.random() < ROLLED_BACK_SHARE:
            self.rolled_back |= events.keys()
            connection.rollback()
        else:
            connection.commit()
            self.acknowledged |= events.keys()

    def _next(self) -> tuple[str, str, str]:
        self._number += 1
        person = {"email": f"user{self._number}@example.com"}
        if self._number % 2:
            payload = person | {"verification_url": f"https://example.com/v/{self._number}"}
            return str(self._number), "user.registered", json.dumps(payload)
        return str(self._number), "user.role_upgraded", json.dumps(person | {"new_role": "ADMIN"})
