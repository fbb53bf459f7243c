"""What the relay tells of itself: the operator's view, the tests' signals and the crash points, through one seam.

`EVENTS` lists each with the level at which it is logged. An observer is called with the event's name and its facts, in
the thread where it happened; an observer that raises, or ends the process, does so at exactly that point.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import structlog

Observer = Callable[[str, Mapping[str, object]], None]

# In the order in which one term and one page meet them. Those of the publish path are the crash points.
EVENTS: Final[Mapping[str, str]] = {
    # Taking over (protocol 2).
    "relay.session.opened": "info",
    "relay.lease.refused": "debug",
    "relay.lease.granted": "info",
    "relay.epoch.raised": "info",
    "relay.lease.checked": "debug",
    "relay.producer.initialised": "info",
    "relay.position.read": "debug",
    "relay.position.accepted": "info",
    "relay.bootstrap.committed": "info",
    "relay.shard.bootstrapped": "info",
    # One window (protocol 3).
    "relay.schedule.released": "info",
    "relay.snapshot.taken": "debug",
    "relay.window.found": "debug",
    "relay.page.read": "debug",
    "relay.transaction.begun": "debug",
    "relay.barrier.sent": "debug",
    "relay.page.produced": "debug",
    "relay.progress.produced": "debug",
    "relay.barrier.written": "debug",
    "relay.commit.started": "debug",
    "relay.commit.answered": "debug",
    "relay.page.committed": "debug",
    "relay.mirror.written": "debug",
    "relay.window.finished": "debug",
    "relay.progress.checked": "debug",
    # What is not clean.
    "relay.page.failed": "warning",
    "relay.page.halved": "warning",
    "relay.renewal.failed": "warning",
    "relay.kafka.warned": "warning",
    "relay.kafka.short": "error",
    "relay.lease.lost": "warning",
    "relay.session.failed": "warning",
    "relay.shard.recovered": "info",
    "relay.shard.halted": "error",
    "relay.shard.blocked": "error",
    "relay.shard.stopped": "info",
    # Poison.
    "relay.event.suspected": "warning",
    "relay.event.struck": "warning",
    "relay.dead_letter.written": "warning",
    "relay.epoch.renewed": "debug",
    "relay.event.held": "info",
    "relay.key.released": "info",
    "relay.key.release_postponed": "info",
    # A position that an operator puts right.
    "relay.resync.prepared": "info",
    "relay.resync.committed": "info",
    # Beside the publish path.
    "relay.topic.created": "info",
    "relay.topic.unsafe": "warning",
    "relay.events.pruned": "info",
    "relay.retention.postponed": "info",
    "relay.upkeep.failed": "warning",
}


class Emit(Protocol):
    """Tells of an event of one shard."""

    def __call__(self, event: str, **facts: object) -> None:
        """Tell of *event*."""
        ...


class Telemetry:
    """Passes each event on to every observer."""

    def __init__(self, *observers: Observer) -> None:
        """Start with *observers*."""
        self._observers = observers

    def emit(self, event: str, **facts: object) -> None:
        """Tell every observer of *event*, which is one of EVENTS."""
        for observer in self._observers:
            observer(event, facts)

    def of_shard(self, shard: int) -> Emit:
        """Return what tells of events of *shard*."""

        def emit(event: str, **facts: object) -> None:
            self.emit(event, shard=shard, **facts)

        return emit


def log_observer() -> Observer:
    """Return an observer that logs each event at its level."""
    log = structlog.get_logger("relay")
    methods = {event: getattr(log, level) for event, level in EVENTS.items()}

    def observe(event: str, facts: Mapping[str, object]) -> None:
        methods[event](event, **facts)

    return observe
