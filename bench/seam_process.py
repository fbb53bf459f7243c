"""`python -m bench.seam_process`: a relay that drains, and says, as JSON, what its telemetry cost it.

What it told is kept and told again, many times over: to nobody, and to the log and the metrics as in production. The
cost of that is compared with the time that the drain took, in the same process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

from relay.metrics import Metrics
from relay.service import serve
from relay.telemetry import Telemetry, log_observer

if TYPE_CHECKING:
    from collections.abc import Mapping

# How often the whole drain is told again: long beside the clock, short beside the drain.
_TIMES = 20


class Recorder:
    """Keeps what was told from the first window to the last page."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.told: list[tuple[str, dict[str, object]]] = []
        self.began = self.ended = 0.0
        self.pages = 0

    def observe(self, event: str, facts: Mapping[str, object]) -> None:
        """Keep one event."""
        if event == "relay.snapshot.taken":
            self.began = self.began or time.perf_counter()
        if not self.began:
            return
        self.told.append((event, {name: fact for name, fact in facts.items() if name != "shard"}))
        if event == "relay.page.committed":
            self.pages += 1
            self.ended = time.perf_counter()


def _seconds(told: list[tuple[str, dict[str, object]]], telemetry: Telemetry) -> float:
    """Return how long it takes to tell *told* once."""
    emit = telemetry.of_shard(0)
    began = time.perf_counter()
    for _ in range(_TIMES):
        for event, facts in told:
            emit(event, **facts)
    return (time.perf_counter() - began) / _TIMES


def main() -> int:
    """Drain, tell it again, and print the figures; the exit code is 1 when something went wrong."""
    recorder = Recorder()
    environment = os.environ  # noqa: TID251  this is the __main__ of a relay
    report = serve(environment, drain=True, shards=None, observers=[recorder.observe])
    if report.errors:
        raise report.errors[0]
    figures = {
        "published": sum(outcome.published for outcome in report.outcomes),
        "pages": recorder.pages,
        "told": len(recorder.told),
        "seconds": recorder.ended - recorder.began,
        "nobody_seconds": _seconds(recorder.told, Telemetry()),
        "production_seconds": _seconds(recorder.told, Telemetry(log_observer(), Metrics().observe)),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
