"""What faults cost a contestant: events lost or doubled when its process ends, and how long nothing comes then."""

from __future__ import annotations

import signal
import time
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

import psycopg

from bench.peers.feeding import Feeder
from bench.peers.meters import Offsets
from bench.peers.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.contest import Figures
    from bench.peers.contestants import Contestant
    from bench.peers.outboxes import Outbox
    from devstack import Stack

SIGNALS = {"stop": signal.SIGTERM, "kill": signal.SIGKILL}
ROWS_A_TRANSACTION = 1_000
# Inserted after the last fault: who publishes in order has published all before them, whatever the partition.
LAST_EVENTS = 50
_RECOVERY_RATE = 100.0
_RECOVERY_TIMEOUT_SECONDS = 60.0


def tally(wanted: range, numbers: Iterable[int]) -> tuple[int, int]:
    """Return how many events of *wanted* are missing from *numbers*, and how many came more often than once."""
    counts = Counter(numbers)
    lost = sum(number not in counts for number in wanted)
    return lost, sum(max(0, counts[number] - 1) for number in wanted)


class Faults:
    """Faults for one contestant after another, on the same servers."""

    def __init__(self, stack: Stack) -> None:
        """Run on *stack*."""
        self._stack = stack
        self._offsets = Offsets(stack.kafka_bootstrap)
        self._numbers = count(1, 10_000_000)

    def losses(
        self, contestant: Contestant, *, how: str, copied: bool, events: int, ends: int = 1, quiet_seconds: float = 1.5
    ) -> Figures:
        """Return `lost` and `doubled` of a backlog during which the process is ended *ends* times.

        *how* is a name of SIGNALS; *copied* rows came by COPY, others by INSERT. What is still to come is waited for
        until nothing has come for *quiet_seconds*.
        """
        first = next(self._numbers)
        _fill(self._stack.database_url, contestant.outbox, range(first, first + events), copied=copied)
        topic = contestant.outbox.topic
        start = self._offsets.visible(topic)
        with Reader(self._stack.kafka_bootstrap, topic) as reader:
            contestant.begin()
            for end in range(1, ends + 1):
                self._offsets.settled(topic, at_least=start + events * end // (ends + 1), quiet_seconds=0)
                contestant.restart(SIGNALS[how])
            last = range(first + events, first + events + LAST_EVENTS)
            _fill(self._stack.database_url, contestant.outbox, last, copied=False)
            reader.wait_for(last, timeout_seconds=120)
            reader.wait_quiet(quiet_seconds)
            contestant.rest()
            lost, doubled = tally(range(first, last.stop), (number for number, _ in reader.arrivals))
        return {"events": events + LAST_EVENTS, "ends": ends, "lost": lost, "doubled": doubled}

    def recovery(self, contestant: Contestant) -> Figures:
        """Return the seconds from a kill to the first event that came of those inserted after it."""
        url, first = self._stack.database_url, next(self._numbers)
        with Reader(self._stack.kafka_bootstrap, contestant.outbox.topic) as reader:
            contestant.begin()
            feeder = Feeder(url, contestant.outbox, first=first, rate=_RECOVERY_RATE)
            flowing = reader.wait(lambda arrivals: len(arrivals) >= _RECOVERY_RATE, timeout_seconds=60)
            killed = time.monotonic()
            contestant.restart(signal.SIGKILL)
            came = flowing and self._await_new(reader, killed)
            committed = feeder.stop()
            reader.wait_for(committed.numbers)
            contestant.rest()
        if not came:
            raise RuntimeError(f"expected events within {_RECOVERY_TIMEOUT_SECONDS:g} s of a kill, none came")
        later = [at for number, at in reader.arrivals if committed.sent_at(number) > killed]
        return {"seconds": min(later) - killed}

    @staticmethod
    def _await_new(reader: Reader, killed: float) -> bool:
        """Wait until events come again that were not on their way when the process was killed."""
        return reader.wait(
            lambda arrivals: bool(arrivals) and arrivals[-1][1] > killed + 0.2,
            timeout_seconds=_RECOVERY_TIMEOUT_SECONDS,
        )


def _fill(database_url: str, outbox: Outbox, numbers: range, *, copied: bool) -> None:
    """Commit events in transactions of some rows each."""
    write = outbox.copy_in if copied else outbox.insert
    with psycopg.connect(database_url) as connection:
        for first in range(numbers.start, numbers.stop, ROWS_A_TRANSACTION):
            write(connection, first, min(first + ROWS_A_TRANSACTION, numbers.stop) - 1)
            connection.commit()
