"""Prometheus metrics of a relay: counters from its telemetry, and gauges that are read from PostgreSQL now and then."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from relay.leases import Session

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """What `/metrics` shows."""

    def __init__(self) -> None:
        """Make every metric, so that each is there from the start."""
        self.registry = registry = CollectorRegistry()
        self._published = Counter(
            "outbox_relay_events_published", "Events committed in Kafka.", ["shard"], registry=registry
        )
        self._pages = Counter(
            "outbox_relay_pages_committed", "Kafka transactions committed.", ["shard"], registry=registry
        )
        self._commit = Histogram(
            "outbox_relay_commit_seconds", "Duration of Kafka commits.", ["shard"], buckets=_SECONDS, registry=registry
        )
        self._failed = Counter(
            "outbox_relay_pages_failed", "Kafka transactions that were not clean.", ["shard"], registry=registry
        )
        self._renewals = Counter("outbox_relay_producers_initialised", "New producers.", ["shard"], registry=registry)
        self._lost = Counter(
            "outbox_relay_leases_lost", "Terms that ended by losing the lease.", ["shard"], registry=registry
        )
        self._held = Gauge(
            "outbox_relay_lease_held", "1 while this process publishes the shard.", ["shard"], registry=registry
        )
        self._halted = Gauge(
            "outbox_relay_shard_halted",
            "1 when the shard stopped, is blocked or waits for brokers.",
            ["shard"],
            registry=registry,
        )
        self._letters = Counter(
            "outbox_relay_dead_letters_written", "Events given up.", ["shard", "reason"], registry=registry
        )
        self._pruned = Counter("outbox_relay_events_pruned", "Events deleted by retention.", registry=registry)
        self._backlog = Gauge(
            "outbox_backlog_events", "Committed events not yet published.", ["shard"], registry=registry
        )
        self._oldest = Gauge(
            "outbox_oldest_unpublished_seconds", "Age of the oldest of them.", ["shard"], registry=registry
        )
        self._stall = Gauge(
            "outbox_oldest_transaction_seconds",
            "Age of the oldest open transaction that has written: its events come when it ends.",
            ["pid", "application"],
            registry=registry,
        )
        self._dead_tuples = Gauge("outbox_event_dead_tuples", "Dead rows of outbox.event.", registry=registry)
        self._unresolved = Gauge(
            "outbox_publish_dead_letters",
            "Unresolved dead letters of the publish stage.",
            ["reason"],
            registry=registry,
        )

    def observe(
        self, event: str, facts: Mapping[str, object]
    ) -> None:  # one arm an event: a table of callables reads worse
        """Count one telemetry event."""
        shard = str(facts.get("shard", ""))
        match event:
            case "relay.page.committed":
                self._pages.labels(shard).inc()
                self._published.labels(shard).inc(_number(facts["count"]))
                self._commit.labels(shard).observe(_number(facts["seconds"]))
            case "relay.page.failed":
                self._failed.labels(shard).inc()
            case "relay.producer.initialised":
                self._renewals.labels(shard).inc()
            case "relay.position.accepted":
                self._held.labels(shard).set(1)
                self._halted.labels(shard)  # shown from here on
            case "relay.shard.recovered":
                self._halted.labels(shard).set(0)
            case "relay.lease.lost":
                self._lost.labels(shard).inc()
                self._held.labels(shard).set(0)
            case "relay.shard.halted" | "relay.shard.blocked" | "relay.kafka.short":
                self._halted.labels(shard).set(1)
            case "relay.dead_letter.written":
                self._letters.labels(shard, str(facts["reason"])).inc()
            case "relay.events.pruned":
                self._pruned.inc(_number(facts["events"]))
            case _:  # the others are for the log and the tests
                pass

    def refresh(self, session: Session) -> None:
        """Read the gauges from PostgreSQL."""
        for row in session.rows("waiting"):
            self._backlog.labels(str(row["shard"])).set(row["backlog"])
            self._oldest.labels(str(row["shard"])).set(row["oldest_seconds"])
        self._stall.clear()
        for row in session.rows("oldest_transaction"):
            self._stall.labels(str(row["pid"]), row["application"]).set(row["age_seconds"])
        for row in session.rows("dead_tuples"):
            self._dead_tuples.set(row["dead"])
        self._unresolved.clear()
        for row in session.rows("dead_letters_by_reason"):
            self._unresolved.labels(row["reason"]).set(row["count"])


def _number(fact: object) -> float:
    """Return the fact as a number; telemetry promises that it is one."""
    assert isinstance(fact, int | float)  # noqa: S101
    return fact
