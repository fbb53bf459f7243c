"""Once a second, by whoever is elected: end what ran out, queue what a policy sends again, issue permits that lack.

Everything here is a statement that may run twice, or on two machines, without harm; the election only saves the work.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from psycopg.rows import DictRow

from mailer.database import DATABASE_AWAY, Database
from mailer.permits import Permits
from mailer.telemetry import SweeperMetrics, logger
from runtime.stopping import StopSignal

_LIMIT = 1000
_RETENTION_EVERY_SECONDS = 60.0
_METRICS_EVERY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class SweepRule:
    """How often, and how long what is kept."""

    tick: timedelta
    permit_age: timedelta
    resend_pause: timedelta
    due_limit: int
    redact_days: int
    prune_days: int


class Sweeper:
    """Sweeps until stopped."""

    def __init__(
        self, database: Database, *, permits: Permits, rule: SweepRule, stop: StopSignal, metrics: SweeperMetrics
    ) -> None:
        """Make one that is not elected yet."""
        self._database = database
        self._permits = permits
        self._rule = rule
        self._stop = stop
        self._metrics = metrics
        self._log = logger()
        self._elected_on: int | None = None
        self._alive_at = time.monotonic()
        self._retained_at = 0.0
        self._measured_at = 0.0
        self._last_attempt: int | None = None

    def live(self) -> bool:
        """Return whether the loop has come round lately."""
        return time.monotonic() - self._alive_at < timedelta(minutes=1).total_seconds()

    def ready(self) -> tuple[bool, str]:
        """Return whether the database is there, and who sweeps."""
        if self._elected_on is None:
            return True, "standing by, or looking for PostgreSQL"
        return True, "sweeping"

    def run(self) -> None:
        """Sweep until stopped."""
        while not self._stop.is_set():
            self._alive_at = time.monotonic()
            try:
                if self._elected():
                    self.sweep()
            except DATABASE_AWAY as error:
                self._elected_on = None
                self._log.warning("mailer.database.lost", error=type(error).__name__)
            self._metrics.elected.set(float(self._elected_on is not None))
            self._stop.wait(self._rule.tick.total_seconds())
        self._database.close()

    def sweep(self) -> None:
        """Do all of it once."""
        counts = {
            "released": len(self._rows("end_claims", limit=_LIMIT)),
            "doubted": self._doubt(),
            "resent": len(self._rows("resend", limit=_LIMIT, pause_seconds=self._rule.resend_pause.total_seconds())),
            "permits_lost": len(self._rows("drop_stale_permits", age_seconds=self._rule.permit_age.total_seconds())),
            "permits": self._permits.issue(self._due()),
        }
        if any(counts.values()):
            self._log.info("mailer.sweep.acted", **{name: count for name, count in counts.items() if count})
        now = time.monotonic()
        if now - self._retained_at > _RETENTION_EVERY_SECONDS:
            self._retain()
            self._retained_at = now
        if now - self._measured_at > _METRICS_EVERY_SECONDS:
            self._measure()
            self._measured_at = now

    def _elected(self) -> bool:
        """Return whether we are the sweeper: the lock lives as long as the connection that took it."""
        connection = self._database.connection()
        if self._elected_on == id(connection):
            return True
        self._elected_on = None
        if self._database.rows("elect")[0]["elected"]:
            self._elected_on = id(connection)
            self._log.info("mailer.sweeper.elected")
        return self._elected_on is not None

    def _doubt(self) -> int:
        doubted = self._rows("end_sendings", limit=_LIMIT)
        for row in doubted:
            self._log.warning("mailer.delivery.doubted", delivery=row["id"], policy=row["in_doubt_policy"])
        return len(doubted)

    def _due(self) -> dict[str, int]:
        return {row["lane"]: row["due"] for row in self._rows("due_lanes", limit=self._rule.due_limit)}

    def _retain(self) -> None:
        """Redact and prune in chunks, until nothing is old enough or it is time to stop."""
        for name, days in (("redact", self._rule.redact_days), ("prune", self._rule.prune_days)):
            while len(self._rows(name, days=days, limit=_LIMIT)) == _LIMIT:
                if self._stop.is_set():
                    return

    def _measure(self) -> None:
        states = self._rows("unsettled")
        self._metrics.show(self._metrics.deliveries, [(row["state"], row["count"]) for row in states])
        self._metrics.oldest_due.set(max((row["oldest_due_seconds"] for row in states), default=0.0))
        self._metrics.show(
            self._metrics.breakers, [(row["name"], float(row["breaker"] != "closed")) for row in self._rows("breakers")]
        )
        self._metrics.show(self._metrics.permits, [(row["lane"], row["count"]) for row in self._rows("permits")])
        self._count_attempts(self._rows("new_attempts", after=self._last_attempt))

    def _count_attempts(self, attempts: Sequence[DictRow]) -> None:
        for row in attempts:
            if self._last_attempt is not None and row["count"]:
                self._metrics.attempts.labels(row["transport"], row["outcome"]).inc(row["count"])
        self._last_attempt = max((row["last"] for row in attempts), default=self._last_attempt or 0)

    def _rows(self, name: str, **arguments: object) -> list[DictRow]:
        return self._database.rows(name, arguments)
