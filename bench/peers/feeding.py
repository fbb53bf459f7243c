"""A host that inserts at an even rate while a bench watches what comes out: the process, and the times it printed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.peers.outboxes import Outbox

_SCRIPT = str(Path(__file__).with_name("feeder_process.py"))


@dataclass(frozen=True, slots=True)
class Committed:
    """When each transaction of *rows* events, numbered from *first*, was sent and had committed."""

    first: int
    rows: int
    times: list[tuple[float, float]]

    @property
    def numbers(self) -> range:
        """Return the numbers of the events."""
        return range(self.first, self.first + len(self.times) * self.rows)

    def sent_at(self, number: int) -> float:
        """Return when the transaction of the event was sent."""
        return self.times[(number - self.first) // self.rows][0]

    def committed_at(self, number: int) -> float:
        """Return when the transaction of the event had committed."""
        return self.times[(number - self.first) // self.rows][1]


class Feeder:
    """A running host; it stops after its time, or when told to."""

    def __init__(
        self, database_url: str, outbox: Outbox, *, first: int, rate: float, rows: int = 1, seconds: float = 0
    ) -> None:
        """Start to insert events from *first*; without *seconds* until `stop`."""
        self._first, self._rows = first, rows
        words = (sys.executable, _SCRIPT, database_url, outbox.insertion, *map(str, (rate, rows, first, seconds)))
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stop(self) -> Committed:
        """Return what it committed, after its time is over, or at once where it has none."""
        printed, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"expected the host to end with 0, got {self._process.returncode}")
        return Committed(self._first, self._rows, [(sent, at) for sent, at in json.loads(printed)])
