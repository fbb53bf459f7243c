"""What a read_committed consumer sees of some topics, from a time on up to the end as it is now. Commits nothing.

A partition counts as read once everything before its *uncommitted* end is decided: a transaction that is still open
there may belong to the range, and its end is waited for as long as the relay would wait.
"""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from console.cluster import Cluster
from console.verify.facts import Cut, TopicState
from runtime.errors import KafkaUnavailableError

if TYPE_CHECKING:
    from confluent_kafka import Message, TopicPartition

# Seconds: for one request, and without any progress before what is open is left undecided.
_REQUEST: Final = 10.0
_PATIENCE: Final = 30.0
_NO_TOPIC: Final = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"})

Place = tuple[str, int]


@dataclass(slots=True)
class Reading:
    """What is being read: where each partition begins and ends, and which are read."""

    states: Mapping[str, TopicState]
    starts: dict[Place, int]
    lows: dict[Place, int]
    ends: dict[Place, int]
    begun: set[Place] = field(default_factory=set)
    left: set[Place] = field(default_factory=set)


class Topics:
    """The topics of a cluster, as a consumer and an administrator see them."""

    def __init__(self, bootstrap: str, options: Mapping[str, str]) -> None:
        """Make the clients; raise KafkaUnavailableError if nobody answers."""
        from confluent_kafka import Consumer  # noqa: PLC0415 - only where the question is Kafka's
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415

        common: dict[str, Any] = {**options, "bootstrap.servers": bootstrap, "log_level": 0}
        self._bootstrap, self._options = bootstrap, options
        self._cluster = Cluster(bootstrap, options)
        self._admin = AdminClient(common)
        self._consumer = Consumer(
            {
                **common,
                # The client wants a group; we never join it, and nothing is committed under it.
                "group.id": f"outbox-verify-{uuid.uuid4().hex[:8]}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": 50,
            }
        )

    def close(self) -> None:
        """Drop the consumer."""
        self._consumer.close()

    def names(self) -> set[str]:
        """Return the topics that there are now."""
        self._cluster = Cluster(self._bootstrap, self._options)
        return set(self._cluster.metadata.topics)

    def states(self, names: Iterable[str]) -> dict[str, TopicState]:
        """Return what those of *names* are like that exist."""
        return {
            facts.name: TopicState(facts.partitions, compacted=_compacted(facts.settings))
            for facts in self._cluster.topics(names)
        }

    def lag_seconds(self, topic: str) -> float:
        """Return for how long compaction leaves a record of *topic* alone; by default what the relay asks for."""
        facts = self._cluster.topics([topic])
        settings = facts[0].settings if facts else {}
        return float(settings.get("min.compaction.lag.ms", 3_600_000)) / 1000

    def read(
        self, states: Mapping[str, TopicState], *, since: float, until: float | None = None
    ) -> Iterator["Message"]:
        """Yield the committed records of *states* from *since* to *until*, and note in them what could not be read."""
        from confluent_kafka import KafkaException  # noqa: PLC0415

        try:
            reading = self._begin(states, since=since, until=until)
            yield from self._consume(reading)
        except KafkaException as error:
            raise KafkaUnavailableError(self._bootstrap, error.args[0].str()) from None
        for place, low in reading.lows.items():
            # What begins where the partition does has lost what was before, if it lost anything.
            if low > 0 and reading.starts[place] <= low and place not in reading.begun:
                states[place[0]].cuts[place[1]] = Cut(None)
        for topic, partition in reading.left:
            states[topic].undecided.add(partition)

    # -------------------------------------------------------------------------------------------------- offsets

    def _begin(self, states: Mapping[str, TopicState], *, since: float, until: float | None) -> Reading:
        from confluent_kafka import IsolationLevel, TopicPartition  # noqa: PLC0415
        from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # noqa: PLC0415 - it has no __all__

        places = [(topic, partition) for topic, state in states.items() for partition in range(state.partitions)]
        partitions = [TopicPartition(*place) for place in places]
        level = IsolationLevel.READ_UNCOMMITTED
        lows, ends = (
            self._offsets(partitions, spec, level)
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
        )
        starts = self._at(places, since, otherwise=ends)
        if until is not None:
            ends = self._at(places, until, otherwise=ends)
        left = {place for place in places if starts[place] < ends[place]}
        return Reading(states, starts, lows, ends, left=left)

    def _offsets(self, partitions: "list[TopicPartition]", spec: Any, level: Any) -> dict[Place, int]:  # noqa: ANN401 - the driver's
        asked = self._admin.list_offsets(
            dict.fromkeys(partitions, spec), isolation_level=level, request_timeout=_REQUEST
        )
        return {(p.topic, p.partition): int(future.result(_REQUEST + 1).offset) for p, future in asked.items()}

    def _at(self, places: list[Place], at: float, *, otherwise: Mapping[Place, int]) -> dict[Place, int]:
        """Return the first offsets of records that are of *at* or later; *otherwise* where there is none."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415

        asked = [TopicPartition(*place, max(0, int(at * 1000))) for place in places]
        found = self._consumer.offsets_for_times(asked, timeout=_REQUEST) if asked else []
        return {
            (one.topic, one.partition): one.offset if one.offset >= 0 else otherwise[one.topic, one.partition]
            for one in found
        }

    # ------------------------------------------------------------------------------------------------- records

    def _consume(self, reading: Reading) -> Iterator["Message"]:
        from confluent_kafka import KafkaException, TopicPartition  # noqa: PLC0415

        self._consumer.assign([TopicPartition(*place, reading.starts[place]) for place in sorted(reading.left)])
        deadline = time.monotonic() + _PATIENCE
        while reading.left and time.monotonic() < deadline:
            message = self._consumer.poll(0.2)
            if message is None:
                continue
            place = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is not None and error.name() != "_PARTITION_EOF":
                if error.name() in _NO_TOPIC:
                    raise KafkaException(error)
                continue  # the client tries again by itself
            if (message.offset() or 0) >= reading.ends[place]:
                self._done(place, reading)
            elif error is None and place in reading.left:
                deadline = time.monotonic() + _PATIENCE
                self._note(place, message, reading)
                yield message
                if (message.offset() or 0) + 1 >= reading.ends[place]:
                    self._done(place, reading)
        self._consumer.unassign()

    def _done(self, place: Place, reading: Reading) -> None:
        from confluent_kafka import TopicPartition  # noqa: PLC0415

        if place in reading.left:
            reading.left.discard(place)
            self._consumer.incremental_unassign([TopicPartition(*place)])

    def _note(self, place: Place, message: "Message", reading: Reading) -> None:
        if place in reading.begun:
            return
        reading.begun.add(place)
        if reading.lows[place] > 0 and reading.starts[place] <= reading.lows[place]:
            reading.states[place[0]].cuts[place[1]] = Cut(message.timestamp()[1] / 1000)


def _compacted(settings: Mapping[str, str]) -> bool | None:
    """Return whether a topic is compacted; None where we may not read its settings."""
    return "compact" in settings["cleanup.policy"] if "cleanup.policy" in settings else None
