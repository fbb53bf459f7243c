"""What the model assumes of Kafka's transactions, on a real broker with the client that the relay uses.

A test an assumption; README.md says where the model makes each.
"""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from devstack import providers
from tests.model.records import (
    READ_COMMITTED,
    READ_UNCOMMITTED,
    SECONDS,
    code_of,
    committed,
    end_of,
    error_of_end,
    publish,
    write,
)
from tests.support.kafka_network import Action, Api, Fault, KafkaNetwork
from tests.support.topics import TopicAdmin
from tests.support.waiting import wait_until

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


def test_a_late_end_of_an_older_epoch_is_refused(
    kafka: providers.Kafka, topic: str, make: Make, network: KafkaNetwork
) -> None:
    former = make("test." + topic, bootstrap=network.bootstrap)
    former.begin_transaction()
    write(former, topic, "left open")
    network.inject(Fault(Api.END_TXN, Action.HOLD_REQUEST, times=9, seconds=4))
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
