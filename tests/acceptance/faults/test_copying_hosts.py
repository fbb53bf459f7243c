"""Hosts that write by COPY, while the relay is asked to end and started again: nothing of a long COPY is skipped."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.acceptance.conftest import Verify
from tests.support.relays import RelayProcess, Relays
from tests.support.waiting import wait_until

COPY = "copy outbox.event (aggregate_type, aggregate_id, type, payload) from stdin"
RESTARTS = 4
PAUSE = 0.15


class Copier:
    """A thread that copies *rows* events a transaction, every third of them in two COPYs, until it is stopped."""

    def __init__(self, dsn: str, kind: str, *, name: str, rows: int) -> None:
        """Write under keys that begin with *name*."""
        self.copied = 0
        self._to = (dsn, kind, name)
        self._rows = rows
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"copier {name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, once the transaction at hand has ended."""
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        number = 0
        with psycopg.connect(self._to[0]) as connection:
            while not self._stop.wait(PAUSE):
                number += 1
                for _ in range(2 if number % 3 == 0 else 1):
                    self._copy(connection)
                connection.commit()

    def _copy(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        _, kind, name = self._to
        with connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for row in range(self._rows):
                copy.write_row((kind, f"{name}-{row % 10}", "thing.happened", "{}"))
        self.copied += self._rows


@contextmanager
def copying(dsn: str, kind: str, *, hosts: int, rows: int) -> Iterator[list[Copier]]:
    """Have *hosts* copy *rows* events a transaction until the end of the block."""
    copiers = [Copier(dsn, kind, name=str(number), rows=rows) for number in range(hosts)]
    try:
        yield copiers
    finally:
        for copier in copiers:
            copier.stop()


def committed(relay: RelayProcess) -> int:
    return sum(event["count"] for event in relay.events("relay.page.committed"))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("hosts", "rows", "term"), [(3, 100, 1000), pytest.param(4, 1000, 20_000, marks=pytest.mark.chaos)]
)
def test_graceful_restarts_under_hosts_that_copy_lose_nothing(
    *, hosts: int, rows: int, term: int, database: str, aggregate_type: str, relays: Relays, verify: Verify
) -> None:
    """Each relay publishes *term* events, and is asked to end within a window of several pages."""
    with copying(database, aggregate_type, hosts=hosts, rows=rows) as copiers:
        for _ in range(RESTARTS + 1):
            relay = relays.start("run", settings={"relay_page_rows": rows})
            wait_until(lambda: committed(relay) >= term, timeout_seconds=300, what=f"{term} events")  # noqa: B023
            relay.send(signal.SIGTERM)
            assert relay.wait() == 0, relay.output

    assert relays.start("drain").wait(timeout_seconds=240) == 0
    seen = verify()
    assert len(seen.published) == sum(copier.copied for copier in copiers) >= term * (RESTARTS + 1)
