"""Every telemetry event of the publish path, which is a place to break a relay at, and what makes a relay get there."""

from enum import StrEnum
from typing import Final

import psycopg

from tests.acceptance.conftest import Insert
from tests.support.relays import RelayProcess, Relays


class Scene(StrEnum):
    """What a relay finds."""

    FIRST = "a shard that has never published"
    WINDOW = "a window of three pages"
    SCHEDULED = "a scheduled event that is due"
    POISON = "an event that Kafka refuses, and one behind it"
    RELEASED = "a parked key whose dead letter was discarded"
    HELD_LEASE = "a lease that another relay holds"
    IDLE = "a minute without anything to publish"


CRASH_POINTS: Final = {
    "relay.bootstrap.committed": Scene.FIRST,
    "relay.shard.bootstrapped": Scene.FIRST,
    "relay.session.opened": Scene.WINDOW,
    "relay.lease.granted": Scene.WINDOW,
    "relay.epoch.raised": Scene.WINDOW,
    "relay.lease.checked": Scene.WINDOW,
    "relay.producer.initialised": Scene.WINDOW,
    "relay.position.read": Scene.WINDOW,
    "relay.position.accepted": Scene.WINDOW,
    "relay.snapshot.taken": Scene.WINDOW,
    "relay.window.found": Scene.WINDOW,
    "relay.page.read": Scene.WINDOW,
    "relay.transaction.begun": Scene.WINDOW,
    "relay.barrier.sent": Scene.WINDOW,
    "relay.page.produced": Scene.WINDOW,
    "relay.progress.produced": Scene.WINDOW,
    "relay.barrier.written": Scene.WINDOW,
    "relay.commit.started": Scene.WINDOW,
    "relay.commit.answered": Scene.WINDOW,
    "relay.page.committed": Scene.WINDOW,
    "relay.mirror.written": Scene.WINDOW,
    "relay.window.finished": Scene.WINDOW,
    "relay.schedule.released": Scene.SCHEDULED,
    "relay.event.suspected": Scene.POISON,
    "relay.event.struck": Scene.POISON,
    "relay.dead_letter.written": Scene.POISON,
    "relay.epoch.renewed": Scene.POISON,
    "relay.event.held": Scene.POISON,
    "relay.key.released": Scene.RELEASED,
    "relay.lease.refused": Scene.HELD_LEASE,
    "relay.progress.checked": Scene.IDLE,
}
# What a relay tells of and tests do not break it at, and why not.
ELSEWHERE: Final = {
    "relay.page.failed": "after a fault: what follows is a new producer, whose events are above",
    "relay.page.halved": "the same",
    "relay.renewal.failed": "the same",
    "relay.lease.lost": "after a fault: what follows is a new term, whose events are above",
    "relay.session.failed": "PostgreSQL is away: nothing is held",
    "relay.shard.recovered": "told after the page, of which all is done by then",
    "relay.kafka.warned": "a line of the client's log, at any time",
    "relay.kafka.short": "Kafka has too few replicas: nothing is published",
    "relay.shard.halted": "it publishes nothing any more",
    "relay.shard.blocked": "the same, until somebody acts",
    "relay.shard.stopped": "the last thing that it does",
    "relay.key.release_postponed": "nothing was done",
    "relay.resync.prepared": "an operator's command, beside the publish path",
    "relay.resync.committed": "the same",
    "relay.topic.created": "beside the publish path",
    "relay.topic.unsafe": "beside the publish path",
    "relay.events.pruned": "beside the publish path",
    "relay.retention.postponed": "beside the publish path",
    "relay.upkeep.failed": "beside the publish path",
}


class Stage:
    """Sets scenes on one database."""

    def __init__(self, database: str, *, kind: str, insert: Insert, relays: Relays) -> None:
        """Events are of the aggregate type *kind*; *relays* have nothing between them and the servers."""
        self._database = database
        self._kind = kind
        self._insert = insert
        self._relays = relays
        self._scenes = 0

    def set(self, scene: Scene) -> RelayProcess | None:
        """Have the next relay find *scene*; return the relay that holds the lease, if one does."""
        self._scenes += 1
        key = f"sick-{self._scenes}"
        match scene:
            case Scene.FIRST | Scene.WINDOW:
                self._insert(13)
            case Scene.IDLE:
                self._insert(1)
            case Scene.SCHEDULED:
                self._schedule()
            case Scene.POISON:
                self._poison(key)
            case Scene.RELEASED:
                self._poison(key)
                self._relays.drain()
                self._discard(key)
            case Scene.HELD_LEASE:
                self._insert(5)
                holder = self._relays.start("run")
                holder.wait_for("relay.window.finished", timeout_seconds=60)
                return holder
        return None

    def _schedule(self) -> None:
        with psycopg.connect(self._database) as connection:
            connection.execute(
                "select outbox.schedule('thing.due', %s, 'k', '{}'::json, null, now() - interval '1 second')",
                (self._kind,),
            )

    def _poison(self, key: str) -> None:
        self._insert(2)
        self._insert(1, key=key, topic="not a topic")
        self._insert(2, key=key)
        self._insert(2)

    def _discard(self, key: str) -> None:
        with psycopg.connect(self._database) as connection:
            connection.execute(
                "select outbox.discard(id, 'a drill') from outbox.dead_letter"
                " where aggregate_id = %s and parks and resolved_at is null",
                (key,),
            )
