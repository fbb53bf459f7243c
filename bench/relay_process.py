"""`python -m bench.relay_process`: a relay that drains and says, as JSON, how long it published and what that cost it.

The time runs from the first page that was found to the last that was committed: starting Python and taking over the
shard are not what is compared.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

from bench.processor import peak_rss_kib
from relay.service import serve

if TYPE_CHECKING:
    from collections.abc import Mapping


class Stopwatch:
    """Notes when the first window was found and when the last page was committed, and the CPU time at both."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.began: tuple[float, float] | None = None
        self.ended = (0.0, 0.0)
        self.pages = 0

    def observe(self, event: str, _facts: Mapping[str, object]) -> None:
        """See one telemetry event."""
        if event == "relay.snapshot.taken":
            self.began = self.began or _clocks()
        elif event == "relay.page.committed":
            self.pages += 1
            self.ended = _clocks()


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def main() -> int:
    """Drain, and print the figures; the exit code is 1 when something went wrong."""
    watch = Stopwatch()
    environment = os.environ  # noqa: TID251  this is the __main__ of a relay
    report = serve(environment, drain=True, shards=None, observers=[watch.observe])
    if report.errors:
        raise report.errors[0]
    began = watch.began or watch.ended
    figures = {
        "published": sum(outcome.published for outcome in report.outcomes),
        "pages": watch.pages,
        "seconds": watch.ended[0] - began[0],
        "cpu_seconds": watch.ended[1] - began[1],
        "peak_rss_kib": peak_rss_kib(),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
