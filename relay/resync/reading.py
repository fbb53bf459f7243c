"""What a read_committed consumer sees of some partitions, from their beginning to the uncommitted end as it is now."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from relay.codec import Partition
from relay.errors import SinkUnavailableError
from relay.topics import QUIET

_REQUEST = 10.0
# Seconds without any progress until what is open there is given up: a broker ends a dead relay's transaction in 15.
_PATIENCE = 30.0
_UNKNOWN = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})  # noqa: SLF001


def committed(
    options: Mapping[str, Any], topics: Iterable[str], *, partition: int | None = None, since: datetime | None = None
) -> Iterator[Message]:
    """Yield the committed records of *topics*; a topic that is not there has none. Commits nothing."""
    consumer = _consumer(options, "read_committed")
    try:
        places = [(topic, one) for topic in topics for one in _partitions(consumer, topic) if partition in {None, one}]
        starts = _starts(consumer, places, since)
        # Low watermark and the end with what open transactions wrote: only a consumer of that kind is told the latter.
        ends = {place: end for place, (low, end) in _watermarks(options, places).items() if end > max(low, 0)}
        left = {place: end for place, end in ends.items() if starts.get(place, 0) < end}
        consumer.assign([TopicPartition(*place, starts.get(place, 0)) for place in left])
        yield from _until(consumer, left)
    except KafkaException as error:
        raise SinkUnavailableError(f"reading {', '.join(sorted(topics))}: {error.args[0].str()}") from None
    finally:
        consumer.close()


def found_in(
    options: Mapping[str, Any], topics: Iterable[str], wanted: Collection[str], *, since: datetime | None = None
) -> frozenset[str]:
    """Return which of the *wanted* event ids are published in *topics*."""
    found = set()
    for message in committed(options, topics, since=since):
        value: Any = dict(message.headers() or []).get("id") or b""
        if (event_id := value.decode(errors="replace")) in wanted:
            found.add(event_id)
    return frozenset(found)


def _until(consumer: Consumer, left: dict[Partition, int]) -> Iterator[Message]:
    """Yield what is before the ends in *left*, and wait for what is undecided there."""
    deadline = time.monotonic() + _PATIENCE
    while left:
        message = consumer.poll(0.2)
        if message is None:
            if time.monotonic() > deadline:
                raise _hidden(min(left))
            continue
        place = (message.topic() or "", message.partition() or 0)
        error = message.error()
        if error is None:
            deadline = time.monotonic() + _PATIENCE
            if (message.offset() or 0) + 1 >= left.get(place, 0):
                left.pop(place, None)  # others go on publishing: its end may never come
            yield message
        elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
            raise KafkaException(error)
        elif (message.offset() or 0) >= left.get(place, 0):
            left.pop(place, None)


def _hidden(place: Partition) -> SinkUnavailableError:
    """Return that an open transaction hides what is behind it on *place*, and what ends it."""
    error = SinkUnavailableError(f"a transaction is open on {place[0]}/{place[1]}, for {_PATIENCE:.0f} s")
    error.add_note("`outbox relay hanging` shows which one, and `--end` ends it as it is proven to have ended")
    return error


def _consumer(options: Mapping[str, Any], level: str) -> Consumer:
    return Consumer(
        {
            **options,
            **QUIET,
            "group.id": "outbox.resync",  # required by the client; nothing is ever committed under it
            "isolation.level": level,
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        }
    )


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=_REQUEST).topics.get(topic)
    if found is None or (found.error is not None and found.error.code() in _UNKNOWN):
        return []
    if found.error is not None:
        raise KafkaException(found.error)
    return sorted(found.partitions)


def _watermarks(options: Mapping[str, Any], places: Iterable[Partition]) -> dict[Partition, tuple[int, int]]:
    consumer = _consumer(options, "read_uncommitted")
    try:
        return {
            place: consumer.get_watermark_offsets(TopicPartition(*place), timeout=_REQUEST, cached=False) or (0, 0)
            for place in places
        }
    finally:
        consumer.close()


def _starts(consumer: Consumer, places: list[Partition], since: datetime | None) -> dict[Partition, int]:
    if since is None or not places:
        return {}
    at = int(since.timestamp() * 1000)
    asked = consumer.offsets_for_times([TopicPartition(*place, at) for place in places], timeout=_REQUEST)
    # Nothing is that young: read from the end, which is nothing.
    return {(one.topic, one.partition): one.offset if one.offset >= 0 else 2**62 for one in asked}
