"""What the model assumes of Kafka's transactions, on a real broker with the client that the relay uses.

A test an assumption; README.md says where the model makes each.
"""

import struct
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # no __all__

from devstack import providers
from tests.support.kafka_network import Action, Api, Fault, KafkaNetwork
from tests.support.topics import TopicAdmin
from tests.support.waiting import wait_until

READ_COMMITTED, READ_UNCOMMITTED = IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED
SECONDS = 30
Make = Callable[..., Producer]


@pytest.fixture
def topic(kafka: providers.Kafka) -> str:
    """A topic of two partitions: 0 for events, 1 for positions, as in the model."""
    name = f"model-{uuid.uuid4().hex}"
    TopicAdmin(kafka.bootstrap).create(name, partitions=2)
    return name


@pytest.fixture
def make(kafka: providers.Kafka) -> Make:
    """Makes an initialised producer; the same *name* fences the one before."""

    def made(name: str | None = None, *, bootstrap: str = kafka.bootstrap, **settings: Any) -> Producer:
        producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "transactional.id": name or f"test.{uuid.uuid4()}",
                "transaction.timeout.ms": 20_000,
                "linger.ms": 0,
                "log_level": 0,
                "socket.timeout.ms": 5000,
                **settings,
            }
        )
        producer.init_transactions(SECONDS)
        return producer

    return made


@pytest.fixture
def network(kafka: providers.Kafka) -> Iterator[KafkaNetwork]:
    """What stands between a client and the broker."""
    opened = KafkaNetwork.before(kafka.bootstrap)
    yield opened
    opened.close()


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


def test_initialising_aborts_what_a_predecessor_left_open_and_fences_it(
    kafka: providers.Kafka, topic: str, make: Make
) -> None:
    former = make("test." + topic)
    former.begin_transaction()
    write(former, topic, "left open")

    successor = make("test." + topic)
    publish(successor, topic, "by the successor")

    with pytest.raises(KafkaException) as refused:
        former.commit_transaction(SECONDS)
    assert code_of(refused) == KafkaError._FENCED
    assert committed(kafka, topic) == ["by the successor"]


def test_initialising_after_an_end_whose_answer_was_lost_finds_it_committed(
    kafka: providers.Kafka, topic: str, make: Make, network: KafkaNetwork
) -> None:
    former = make("test." + topic, bootstrap=network.bootstrap)
    former.begin_transaction()
    write(former, topic, "answer lost")
    lost = network.inject(Fault(Api.END_TXN, Action.LOSE_ANSWER, times=9))
    with pytest.raises(KafkaException):
        former.commit_transaction(1)
    wait_until(lambda: lost.answered, timeout_seconds=SECONDS, what="the broker's answer to EndTxn")

    make("test." + topic)

    assert committed(kafka, topic) == ["answer lost"]
    assert end_of(kafka, topic, READ_COMMITTED) == end_of(kafka, topic, READ_UNCOMMITTED)


@pytest.mark.chaos  # waits ten seconds for the broker
def test_what_was_decided_is_completed_after_the_broker_was_killed(
    kafka: providers.Kafka, topic: str, make: Make, network: KafkaNetwork
) -> None:
    former = make("test." + topic, bootstrap=network.bootstrap)
    former.begin_transaction()
    write(former, topic, "event")
    write(former, topic, "position", partition=1)
    lost = network.inject(Fault(Api.END_TXN, Action.LOSE_ANSWER, times=9))
    with pytest.raises(KafkaException):
        former.commit_transaction(0.2)
    wait_until(lambda: lost.answered, timeout_seconds=SECONDS, what="the broker's answer to EndTxn")

    kafka.crash()
    kafka.start()
    make("test." + topic)

    assert committed(kafka, topic) == ["event"]
    assert committed(kafka, topic, partition=1) == ["position"]


def test_an_open_transaction_holds_back_what_others_have_committed_behind_it(
    kafka: providers.Kafka, topic: str, make: Make
) -> None:
    first, second = make(), make()
    publish(second, topic, "before")
    first.begin_transaction()
    write(first, topic, "begun first")
    publish(second, topic, "ended first")

    assert committed(kafka, topic) == ["before"]
    assert end_of(kafka, topic, READ_COMMITTED) < end_of(kafka, topic, READ_UNCOMMITTED)
    first.commit_transaction(SECONDS)

    assert committed(kafka, topic) == ["before", "begun first", "ended first"], "the order is that of the offsets"
    assert end_of(kafka, topic, READ_COMMITTED) == end_of(kafka, topic, READ_UNCOMMITTED)


def test_what_is_aborted_is_never_seen_and_holds_back_nothing(kafka: providers.Kafka, topic: str, make: Make) -> None:
    producer = make()
    producer.begin_transaction()
    write(producer, topic, "aborted")
    producer.abort_transaction(SECONDS)

    publish(producer, topic, "committed")

    assert committed(kafka, topic) == ["committed"]


def test_a_late_end_ends_whatever_transaction_of_its_epoch_is_then_open(
    kafka: providers.Kafka, topic: str, make: Make, network: KafkaNetwork
) -> None:
    producer = make(bootstrap=network.bootstrap)
    producer.begin_transaction()
    write(producer, topic, "first")
    network.inject(Fault(Api.END_TXN, Action.HOLD_AND_RESET, seconds=3))
    producer.commit_transaction(SECONDS)  # the client has repeated it
    assert not network.late, "expected the one that is held to arrive within the next transaction"

    producer.begin_transaction()
    write(producer, topic, "half")
    wait_until(lambda: network.late, timeout_seconds=SECONDS, what="the late EndTxn")

    wait_until(lambda: committed(kafka, topic) == ["first", "half"], timeout_seconds=SECONDS, what="half a transaction")
    with pytest.raises(KafkaException):
        _finish(producer, topic)
    assert committed(kafka, topic) == ["first", "half"]


def _finish(producer: Producer, topic: str) -> None:
    producer.produce(topic, "the other half", partition=0)
    producer.commit_transaction(SECONDS)


def test_an_end_that_is_repeated_after_it_was_done_is_answered_without_an_error(
    kafka: providers.Kafka, topic: str, make: Make, network: KafkaNetwork
) -> None:
    producer = make(bootstrap=network.bootstrap)
    network.inject(Fault(Api.END_TXN, Action.DUPLICATE, seconds=0.3))

    publish(producer, topic, "once")
    [answer] = wait_until(lambda: network.late, timeout_seconds=SECONDS, what="the second EndTxn")

    assert error_of_end(answer) == 0
    assert committed(kafka, topic) == ["once"]


def error_of_end(answer: bytes) -> int:
    """Return the error in an EndTxn answer: behind its length, correlation, and throttle time."""
    flexible = len(answer) > 14  # two bytes of empty tags
    return int(struct.unpack_from(">h", answer, 8 + flexible + 4)[0])


def test_a_late_end_of_an_older_epoch_is_refused(
    kafka: providers.Kafka, topic: str, make: Make, network: KafkaNetwork
) -> None:
    former = make("test." + topic, bootstrap=network.bootstrap)
    former.begin_transaction()
    write(former, topic, "left open")
    network.inject(Fault(Api.END_TXN, Action.HOLD_REQUEST, times=9, seconds=3))
    with pytest.raises(KafkaException):
        former.commit_transaction(0.2)

    successor = make("test." + topic)
    successor.begin_transaction()
    write(successor, topic, "not yet ended")
    [answer, *_] = wait_until(lambda: network.late, timeout_seconds=SECONDS, what="the late EndTxn")

    assert error_of_end(answer) != 0
    assert committed(kafka, topic) == []
    successor.abort_transaction(SECONDS)


@pytest.mark.chaos  # waits ten seconds for the broker
def test_a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced(
    kafka: providers.Kafka, topic: str, make: Make
) -> None:
    slow = make(**{"transaction.timeout.ms": 1000, "message.timeout.ms": 1000, "socket.timeout.ms": 1000})
    slow.begin_transaction()
    write(slow, topic, "too slow")
    other = make()
    publish(other, topic, "behind it")

    wait_until(lambda: committed(kafka, topic) == ["behind it"], timeout_seconds=60, what="the broker to abort it")

    with pytest.raises(KafkaException) as refused:
        _finish(slow, topic)
    assert code_of(refused) in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH)
    assert committed(kafka, topic) == ["behind it"]
