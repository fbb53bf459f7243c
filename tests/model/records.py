"""What a real broker shows of a topic: what is written, what is stable, what a `read_committed` consumer sees."""

import struct

import pytest
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # no __all__

from devstack import providers

READ_COMMITTED, READ_UNCOMMITTED = IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED
SECONDS = 30


def write(producer: Producer, topic: str, *values: str, partition: int = 0) -> None:
    """Have *values* reach the broker, in the open transaction."""
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(SECONDS) == 0


def publish(producer: Producer, topic: str, *values: str) -> None:
    producer.begin_transaction()
    write(producer, topic, *values)
    producer.commit_transaction(SECONDS)


def end_of(kafka: providers.Kafka, topic: str, level: IsolationLevel, *, partition: int = 0) -> int:
    """Return the end offset of a partition: of what is stable, or of what is written."""
    place = TopicPartition(topic, partition)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    found = admin.list_offsets({place: latest}, isolation_level=level, request_timeout=SECONDS)
    return int(found[place].result(SECONDS).offset)


def committed(kafka: providers.Kafka, topic: str, *, partition: int = 0) -> list[str]:
    """Return what a `read_committed` consumer sees now, up to the last stable offset."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "model",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0)])
    seen: list[str] = []
    try:
        while True:
            message = consumer.poll(SECONDS)
            assert message is not None, "expected a record or the end of the partition"
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                return seen
            seen.append((message.value() or b"").decode())
    finally:
        consumer.close()


def code_of(refused: pytest.ExceptionInfo[KafkaException]) -> int:
    return int(refused.value.args[0].code())


def error_of_end(answer: bytes) -> int:
    """Return the error in an EndTxn answer: behind its length, correlation, and throttle time."""
    flexible = len(answer) > 14  # two bytes of empty tags
    return int(struct.unpack_from(">h", answer, 8 + flexible + 4)[0])
