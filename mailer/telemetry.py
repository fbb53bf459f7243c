"""What the mailer says while it runs: log lines for people and tests, metrics for Prometheus.

Log lines carry ids, counts and reasons; an address, a payload or a message is never among them.
"""

from collections.abc import Iterable
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

EVENTS: Final = (
    "mailer.batch.planned",
    "mailer.record.buried",
    "mailer.record.redriven",
    "mailer.partition.assigned",
    "mailer.partition.revoked",
    "mailer.kafka.complained",
    "mailer.permit.issued",
    "mailer.permit.publish_failed",
    "mailer.permit.ended",
    "mailer.window.intended",
    "mailer.window.recorded",
    "mailer.window.overtaken",
    "mailer.claim.lost",
    "mailer.delivery.gave_up",
    "mailer.delivery.doubted",
    "mailer.delivery.surprised",
    "mailer.delivery.bounced",
    "mailer.recipient.unsubscribed",
    "mailer.recipient.complained",
    "mailer.hook.refused",
    "mailer.hook.postponed",
    "mailer.breaker.opened",
    "mailer.breaker.closed",
    "mailer.transport.alarmed",
    "mailer.transport.crashed",
    "mailer.sweep.acted",
    "mailer.sweeper.elected",
    "mailer.database.lost",
    "mailer.database.found",
    "mailer.endpoint.opened",
    "mailer.process.started",
    "mailer.process.stopped",
)


def logger() -> structlog.stdlib.BoundLogger:
    """Return the logger of this process."""
    log: structlog.stdlib.BoundLogger = structlog.get_logger()
    return log


class ConsumerMetrics:
    """What the consumer counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the metrics in *registry*."""
        self.records = Counter("outbox_mailer_records", "Records consumed.", registry=registry)
        self.planned = Counter("outbox_mailer_deliveries_planned", "Deliveries planned.", ["mail"], registry=registry)
        self.buried = Counter(
            "outbox_mailer_records_buried", "Records kept as dead letters.", ["reason"], registry=registry
        )
        self.lag = Gauge(
            "outbox_mailer_consumer_lag", "Records committed to Kafka and not consumed yet.", registry=registry
        )


class SweeperMetrics:
    """What the sweeper sees of all workers, read from the database: no process needs to be scraped for it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the metrics in *registry*."""
        self.deliveries = Gauge(
            "outbox_mailer_deliveries", "Deliveries that are not settled, by state.", ["state"], registry=registry
        )
        self.oldest_due = Gauge(
            "outbox_mailer_oldest_due_seconds",
            "How long the delivery has been due that waits longest.",
            registry=registry,
        )
        self.attempts = Counter(
            "outbox_mailer_attempts", "Attempts, by transport and outcome.", ["transport", "outcome"], registry=registry
        )
        self.breakers = Gauge(
            "outbox_mailer_breaker_open",
            "1 while a transport's breaker is not closed.",
            ["transport"],
            registry=registry,
        )
        self.permits = Gauge("outbox_mailer_permits", "Permits outstanding, by lane.", ["lane"], registry=registry)
        self.elected = Gauge("outbox_mailer_sweeper_elected", "1 where this process is the sweeper.", registry=registry)

    def show(self, gauge: Gauge, values: Iterable[tuple[str, float]]) -> None:
        """Replace every value of *gauge*, so that what is gone is not shown for ever."""
        gauge.clear()
        for label, value in values:
            gauge.labels(label).set(value)
