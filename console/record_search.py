"""Find the record of one event in Kafka: read as committed, from about when it was published, bounded.

Kafka has no index by header. The partition of the key is read first; the others only if the topic has been given more
partitions since. What a search may cost is bounded in records, and the answer says how far it came.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from console.murmur2 import partition_of
from runtime.errors import KafkaUnavailableError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

# The clocks of relay and PostgreSQL differ, and the record bears the relay's.
SKEW: Final = timedelta(seconds=60)
MOST_RECORDS: Final = 200_000
SECONDS: Final = 5.0
CONSUMER_GROUP: Final = "outbox-mailer"


@dataclass(frozen=True, slots=True)
class Found:
    """Where the record is, and whether the mailer's group has read past it; None where it has committed nothing."""

    topic: str
    partition: int
    offset: int
    at: datetime
    mailer_read_past: bool | None


@dataclass(frozen=True, slots=True)
class Search:
    """What came of looking; *complete* is false where the bound was reached before the end."""

    topic: str
    found: Found | None
    looked_at: int
    complete: bool
    topic_exists: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which record, and from when on."""

    event_id: str
    topic: str
    key: bytes
    since: datetime


def search(bootstrap: str, options: dict[str, Any], wanted: Wanted, *, most: int = MOST_RECORDS) -> Search:
    """Return where the record of *wanted* is."""
    from confluent_kafka import Consumer, KafkaException  # noqa: PLC0415 - only where the question is Kafka's

    config = {
        **options,
        "bootstrap.servers": bootstrap,
        "group.id": CONSUMER_GROUP,  # to ask what it has committed; we never join it and commit nothing
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "allow.auto.create.topics": False,
        "client.id": f"outbox-trace-{uuid.uuid4().hex[:8]}",
    }
    consumer = Consumer(config, logger=_silent())
    try:
        return _search(consumer, wanted, most)
    except KafkaException as error:
        raise KafkaUnavailableError(bootstrap, error.args[0].str()) from None
    finally:
        consumer.close()


def _search(consumer: "Consumer", wanted: Wanted, most: int) -> Search:
    metadata = consumer.list_topics(wanted.topic, timeout=SECONDS).topics.get(wanted.topic)
    if metadata is None or metadata.error is not None or not metadata.partitions:
        return Search(wanted.topic, None, 0, complete=True, topic_exists=False)
    count = len(metadata.partitions)
    likely = partition_of(wanted.key, count)
    looked_at = 0
    for partitions in ([likely], [other for other in range(count) if other != likely]):
        if not partitions:
            continue
        for message in _read(consumer, wanted, partitions):
            looked_at += 1
            if _is(message, wanted):
                return Search(wanted.topic, _found(consumer, message), looked_at, complete=True)
            if looked_at >= most:
                return Search(wanted.topic, None, looked_at, complete=False)
    return Search(wanted.topic, None, looked_at, complete=True)


def _read(consumer: "Consumer", wanted: Wanted, partitions: Sequence[int]) -> Iterator["Message"]:
    """Yield records from *wanted.since* up to the end of each partition as it is now."""
    for start in _starts(consumer, wanted, partitions):
        consumer.assign([start])
        # One at a time: `consume` waits for as many as are asked for. An error is the partition's end, or its loss.
        while (message := consumer.poll(SECONDS)) is not None and message.error() is None:
            yield message
        consumer.unassign()


def _starts(consumer: "Consumer", wanted: Wanted, partitions: Sequence[int]) -> list["TopicPartition"]:
    from confluent_kafka import OFFSET_END, TopicPartition  # noqa: PLC0415

    since = max(0, int((wanted.since - SKEW).timestamp() * 1000))
    asked = [TopicPartition(wanted.topic, partition, since) for partition in partitions]
    # No record is that new: then there is nothing to read.
    return [
        start for start in consumer.offsets_for_times(asked, timeout=SECONDS) if start.offset not in (OFFSET_END, -1)
    ]


def _is(message: "Message", wanted: Wanted) -> bool:
    if message.key() != wanted.key:
        return False
    headers: Any = message.headers() or []
    return any(name == "id" and value == wanted.event_id.encode() for name, value in headers)


def _found(consumer: "Consumer", message: "Message") -> Found:
    from confluent_kafka import TopicPartition  # noqa: PLC0415

    topic, partition, offset = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
    committed = consumer.committed([TopicPartition(topic, partition)], timeout=SECONDS)[0].offset
    at = datetime.fromtimestamp(message.timestamp()[1] / 1000).astimezone()
    return Found(topic, partition, offset, at, mailer_read_past=committed > offset if committed >= 0 else None)


def _silent() -> Any:  # noqa: ANN401 - logging.Logger, imported where it is made
    import logging  # noqa: PLC0415

    logger = logging.Logger("console.kafka.trace")  # noqa: LOG001 - in no tree
    logger.addHandler(logging.NullHandler())
    return logger
