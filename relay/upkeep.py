"""What a relay does beside publishing, in a thread and on a connection of its own: retention, and the gauges."""

import threading
import time
from collections.abc import Callable

from relay.errors import RelayError
from relay.leases import DISCONNECTS, Session
from relay.metrics import Metrics
from relay.patience import Stop
from relay.retention import Retention
from relay.telemetry import Telemetry

# Seconds between two looks at the gauges: below the usual interval of a scrape.
_GAUGES = 5.0


class Upkeep:
    """A thread that ends with the process; what fails in it is told, and tried again."""

    def __init__(
        self,
        *,
        open_session: Callable[[str], Session],
        stop: Stop,
        telemetry: Telemetry,
        metrics: Metrics | None,
        keep_seconds: float,
        rows: int,
        interval_seconds: float,
    ) -> None:
        """Prepare. *keep_seconds* of 0: no retention. No *metrics*: no gauges."""
        self._open_session = open_session
        self._stop = stop
        self._telemetry = telemetry
        self._metrics = metrics
        self._keep = keep_seconds
        self._rows = rows
        self._interval = interval_seconds
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin, if there is anything to do."""
        if self._keep > 0 or self._metrics is not None:
            self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the thread, which ends after a stop."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        pruned_at = float("-inf")
        pause = min(_GAUGES, self._interval) if self._metrics is not None else self._interval
        while not self._stop.wait(pause):
            due = self._keep > 0 and time.monotonic() - pruned_at >= self._interval
            if due:
                pruned_at = time.monotonic()
            try:
                self._round(due=due)
            except (RelayError, *DISCONNECTS) as error:
                self._telemetry.emit("relay.upkeep.failed", reason=" ".join(str(error).split()))

    def _round(self, *, due: bool) -> None:
        """Do what is due, on a connection of its own: PostgreSQL ends one that is silent between two rounds."""
        session = self._open_session("upkeep")
        try:
            if self._metrics is not None:
                self._metrics.refresh(session)
            if due:
                self._prune(session)
        finally:
            session.close()

    def _prune(self, session: Session) -> None:
        pruned = Retention(session, keep_seconds=self._keep, rows=self._rows).prune(self._stop.is_set)
        if pruned is None:
            self._telemetry.emit("relay.retention.postponed")
        elif pruned.events or pruned.batches:
            self._telemetry.emit("relay.events.pruned", events=pruned.events, batches=pruned.batches)
