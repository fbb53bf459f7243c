"""What Kafka still has to say about a hanging transaction: its records, and the log of its coordinator."""

import struct
import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from relay.codec import Partition
from relay.errors import SinkUnavailableError
from relay.topics import QUIET
from relay.undecided import Entry, Status
from relay.window import Progress, decode_progress

_LOG = "__transaction_state"
_REQUEST = 10.0
# Seconds to read a partition to its end: the coordinator's log may hold a hundred megabytes.
_READ = 120.0
# Where there is nothing more for us.
_ENDS = frozenset({KafkaError._PARTITION_EOF, KafkaError.TOPIC_AUTHORIZATION_FAILED})  # noqa: SLF001
# Version, producer id, epoch, timeout, status: how each version of the coordinator's entries begins.
_ENTRY = struct.Struct(">hqhib")


def progress_from(options: Mapping[str, Any], place: Partition, offset: int) -> tuple[Progress | None, ...]:
    """Return the progress records of *place* from *offset* on, also the undecided; None for what no relay wrote."""
    return tuple(_progress(message) for message in _read(options, place, offset))


def _progress(message: Message) -> Progress | None:
    found = decode_progress(message.value())
    return found if found is not None and message.key() == found.key else None


def coordinator_log(options: Mapping[str, Any], transactional_id: str) -> tuple[Entry, ...]:
    """Return the coordinator's entries about *transactional_id*, the oldest first; none, if we may not read its log."""
    count = _partitions(options, _LOG)
    if not count:
        return ()
    key = struct.pack(">hh", 0, len(transactional_id)) + transactional_id.encode()
    place = _LOG, _hash(transactional_id) % count
    return tuple(
        entry
        for message in _read(options, place, 0)
        if message.key() == key and (entry := _entry(message.value())) is not None
    )


def _entry(value: bytes | None) -> Entry | None:
    """Return what an entry says; None for the end of an id that expired, or for what a later Kafka wrote."""
    if value is None or len(value) < _ENTRY.size:
        return None
    version, producer_id, epoch, _timeout, status = _ENTRY.unpack_from(value)
    if version > 1 or status > max(one.value for one in Status):
        return None
    return Entry(producer_id, epoch, Status(status))


def _hash(text: str) -> int:
    """Return Java's hash of *text* without its sign: it says which partition a transactional id has."""
    found = 0
    for character in text:
        found = (31 * found + ord(character)) & 0xFFFFFFFF
    return 0 if found == 1 << 31 else min(found, (1 << 32) - found)


def _consumer(options: Mapping[str, Any]) -> Consumer:
    return Consumer(
        {
            **options,
            **QUIET,
            "group.id": "outbox.testimony",  # required by the client; nothing is ever committed under it
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )


def _partitions(options: Mapping[str, Any], topic: str) -> int:
    """Return how many partitions *topic* has; 0 if it is not there for us."""
    consumer = _consumer(options)
    try:
        found = consumer.list_topics(topic, timeout=_REQUEST).topics.get(topic)
    except KafkaException as error:
        raise SinkUnavailableError(f"no answer about {topic}: {error.args[0].str()}") from None
    finally:
        consumer.close()
    return len(found.partitions) if found is not None and found.error is None else 0


def _read(options: Mapping[str, Any], place: Partition, offset: int) -> Iterator[Message]:
    """Yield the records of *place* from *offset* to the end."""
    topic, partition = place
    consumer = _consumer(options)
    try:
        consumer.assign([TopicPartition(topic, partition, offset)])
        deadline = time.monotonic() + _READ
        while time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is None:
                continue
            error = message.error()
            if error is None:
                yield message
            elif error.code() in _ENDS:
                return
            elif error.fatal() or not error.retriable():
                raise SinkUnavailableError(f"reading {topic}: {error.str()}")
    finally:
        consumer.close()
    raise SinkUnavailableError(f"{topic}/{partition} was not read to its end in {_READ:.0f} s")
