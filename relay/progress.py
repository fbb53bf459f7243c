"""Where Kafka keeps the position: the progress topic, read as committed up to its uncommitted end (rule 3)."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # no __all__

from relay.errors import (
    HaltedError,
    PositionHiddenError,
    RecordRefusedError,
    ServerUnfitError,
    SinkUnavailableError,
    grant,
)
from relay.lease import Installation
from relay.topics import QUIET, Topics
from relay.window import Progress, decode_progress

_REQUEST = 10.0
# How often we ask for a topic that no broker knows, every 100 ms, before we take it for gone.
_HEARING = 30
# Seconds until a position that an open transaction hides is given up (protocol 2.5): never "take what we have".
READ_SECONDS = 30.0
# When we ask whether that transaction hangs: then nothing would come of waiting.
_DOUBT_SECONDS = 2.0
# How many offsets from the end are read first; doubled until a record is among them.
_TAIL = 64
_UNKNOWN = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class LastRecord:
    """The last committed record of a progress partition; *foreign* if there is one that no relay wrote."""

    progress: Progress | None
    foreign: bool = False


def ensure_progress_topic(topics: Topics, installation: Installation, *, bootstrapped: bool) -> None:
    """Have the progress topic exist and be fit; it is made only while no shard has ever published."""
    try:
        _ensure(topics, installation, bootstrapped=bootstrapped)
    except RecordRefusedError as error:
        # No event is to blame for that: it is the login's.
        raise SinkUnavailableError(f"{error.detail}; {_rights(installation.progress_topic)}") from None


def _rights(topic: str) -> str:
    return grant("topic", topic, "Create", "Describe", "DescribeConfigs", "Read", "Write")


def _ensure(topics: Topics, installation: Installation, *, bootstrapped: bool) -> None:
    topic = installation.progress_topic
    facts = topics.describe(topic)
    if facts is None:
        if bootstrapped:
            raise HaltedError(-1, f"{topic} is gone, and this installation has published before")
        settings = {"cleanup.policy": "compact", "min.compaction.lag.ms": "3600000"}
        topics.create(topic, partitions=installation.shards, settings=settings)
        topics.described(topic)
        return
    if facts.partitions < installation.shards:
        raise HaltedError(-1, f"{topic} has {facts.partitions} partitions for {installation.shards} shards")
    policy = facts.settings.get("cleanup.policy", "compact")
    if policy != "compact":
        error = ServerUnfitError(f"cleanup.policy of {topic}", "compact", policy)
        if bootstrapped:
            # It was made so, or altered, behind our back: the position may be gone already.
            raise HaltedError(-1, f"{error}: retention deletes positions")
        error.add_note("retention would delete the position; alter the topic")
        raise error


class ProgressReader:
    """Reads the last progress record of one shard."""

    def __init__(
        self,
        options: Mapping[str, Any],
        installation: Installation,
        shard: int,
        *,
        seconds: float = READ_SECONDS,
        hangs: Callable[[], bool] = lambda: False,
    ) -> None:
        """Make the clients; nothing is asked yet. A position has to show within *seconds*.

        *hangs* says whether a transaction on the partition is one that nobody will end.
        """
        self._seconds = seconds
        self._hangs = hangs
        self._topic = installation.progress_topic
        self._shard = shard
        common = {**options, **QUIET}
        self._admin = AdminClient(common)
        self._consumer = Consumer(
            {
                **common,
                "group.id": f"{self._topic}.reader",  # required by the client; nothing is ever committed under it
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
            }
        )

    def last(self) -> LastRecord:
        """Return the last committed record; raise HaltedError if the end is not reached in time."""
        deadline = time.monotonic() + self._seconds
        # Without the topic's metadata at hand the client waits seconds before it asks for them by itself.
        self.warm_up()
        low = self._offset(OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        end = self._end()
        tail = _TAIL
        while True:
            start = max(low, end - tail)
            found = self._read(start, end, deadline) if end > low else None
            if found is not None or start <= low:
                return found or LastRecord(None)
            tail *= 8

    def warm_up(self) -> None:
        """Have both clients know the topic; raise HaltedError if it is gone, and stays so for some seconds."""
        try:
            for _ in range(_HEARING):
                if self._known():
                    self._consumer.list_topics(self._topic, timeout=_REQUEST)
                    return
                self._admin.poll(0.1)
        except KafkaException as error:
            raise SinkUnavailableError(f"no answer about {self._topic}: {error.args[0].str()}") from None
        raise HaltedError(self._shard, f"{self._topic} has no partition {self._shard}: the positions are gone")

    def _known(self) -> bool:
        """Return whether the brokers know our partition; one that was just started may not know it yet."""
        found = self._admin.list_topics(self._topic, timeout=_REQUEST).topics.get(self._topic)
        if found is not None and found.error is not None and found.error.code() not in _UNKNOWN:
            raise KafkaException(found.error)
        return found is not None and found.error is None and self._shard in found.partitions

    def close(self) -> None:
        """Drop the consumer."""
        self._consumer.close()

    def _end(self, level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED) -> int:
        """Return the end of the partition, with what open transactions wrote or without."""
        return self._offset(OffsetSpec.latest(), level)  # type: ignore[no-untyped-call]

    def _offset(self, spec: OffsetSpec, level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED) -> int:
        partition = TopicPartition(self._topic, self._shard)
        try:
            future = self._admin.list_offsets({partition: spec}, isolation_level=level, request_timeout=_REQUEST)[
                partition
            ]
            offset = int(future.result(timeout=_REQUEST + 1).offset)
        except KafkaException as error:
            if error.args[0].code() in _UNKNOWN:
                raise HaltedError(self._shard, f"{self._topic} is gone") from None
            raise SinkUnavailableError(f"offsets of {self._topic}: {error.args[0].str()}") from None
        except TimeoutError:
            raise SinkUnavailableError(f"no answer about the offsets of {self._topic}") from None
        if offset < 0:
            # When the broker does not answer, the client returns -1001 and no error: no partition ends there.
            raise SinkUnavailableError(f"no answer about the offsets of {self._topic}")
        return offset

    def _read(self, start: int, end: int, deadline: float) -> LastRecord | None:
        """Return the last record from *start* on, once everything before *end* is decided; None if there is none."""
        self._consumer.assign([TopicPartition(self._topic, self._shard, start)])
        last: Message | None = None
        trouble = ""
        started = time.monotonic()
        doubtful = started + _DOUBT_SECONDS
        while (now := time.monotonic()) < deadline:
            if now > doubtful:
                if self._hangs():
                    break
                doubtful = deadline
            message = self._consumer.poll(0.2)
            if message is None:
                continue
            error = message.error()
            if error is None:
                last = message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                if (message.offset() or 0) >= end:
                    return _judge(last)
            elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise SinkUnavailableError(f"{self._topic}: {error.str()}; {_rights(self._topic)}")
            else:
                trouble = error.str()
        raise self._undecided(end, trouble, seconds=time.monotonic() - started)

    def _undecided(self, end: int, trouble: str, *, seconds: float) -> HaltedError | SinkUnavailableError:
        """Return why *end* was not reached: for an open transaction, if the brokers say so; else Kafka is to blame.

        Brokers that do not answer are an outage, and so is a reader that is kept from them while they do.
        """
        missing = f"offset {end} of {self._topic}/{self._shard} was not reached in {seconds:.0f} s"
        if self._end(IsolationLevel.READ_COMMITTED) < end <= self._end():
            return PositionHiddenError(self._shard, f"{missing}: an open transaction hides the position")
        return SinkUnavailableError(f"{missing}, and no transaction is open there" + (trouble and f": {trouble}"))


def _judge(message: Message | None) -> LastRecord | None:
    """Return what the last record says."""
    if message is None:
        return None
    progress = decode_progress(message.value())
    foreign = progress is None or message.key() != progress.key
    return LastRecord(progress, foreign=foreign)
