"""What brokers say of transactions, and what ends one that hangs: asked of a real broker, byte by byte."""

import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from devstack import providers
from relay.errors import SinkUnavailableError
from relay.hanging import find, heal
from relay.transactions import Transactions
from relay.undecided import Diagnosis, HangingTransaction, Outcome
from relay.wire import Wire
from tests.support.hanging import ForgetfulNetwork, forgetful, hang
from tests.support.kafka_network import read_frame
from tests.support.topics import TopicAdmin
from tests.support.waiting import wait_until

SECONDS = 20
TLS = Path("tests/support/tls")


@pytest.fixture
def transactions(kafka: providers.Kafka) -> Transactions:
    return Transactions(Wire(kafka.bootstrap, {}))


@pytest.fixture
def network(kafka: providers.Kafka) -> Iterator[ForgetfulNetwork]:
    with forgetful(kafka.bootstrap) as network:
        yield network


@dataclass(frozen=True)
class Hung:
    """A transaction that was committed or aborted for its coordinator, and hangs on `topic`; not so on `sound`."""

    topic: str
    sound: str
    name: str
    producer: Producer


def started(bootstrap: str, name: str) -> Producer:
    producer = Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": name, "linger.ms": 0, "log_level": 0},
    )
    producer.init_transactions(SECONDS)
    return producer


def write(producer: Producer, value: str, *topics: str) -> None:
    producer.begin_transaction()
    for topic in topics:
        producer.produce(topic, value, partition=0)
    producer.flush(SECONDS)


def end(producer: Producer, *, commit: bool) -> None:
    (producer.commit_transaction if commit else producer.abort_transaction)(SECONDS)


def made(bootstrap: str, *topics: str) -> None:
    admin = TopicAdmin(bootstrap)
    for topic in topics:
        admin.create(topic, partitions=1)


def values(bootstrap: str, topic: str) -> list[str]:
    """Return what a reader of committed records sees of *topic*."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": topic,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[str] = []
    try:
        while (message := consumer.poll(SECONDS)) is not None and message.error() is None:
            found.append((message.value() or b"").decode())
    finally:
        consumer.close()
    error = message.error() if message is not None else None
    assert error is not None
    assert error.code() == KafkaError._PARTITION_EOF
    return found


@pytest.fixture
def hung(kafka: providers.Kafka, network: ForgetfulNetwork, aggregate_type: str) -> Hung:
    topic, sound = f"{aggregate_type}.hung", f"{aggregate_type}.sound"
    made(kafka.bootstrap, topic, sound)
    return Hung(topic, sound, aggregate_type, hang(network, topic, name=aggregate_type, sound=sound))


def test_a_transaction_under_way_is_open_and_does_not_hang(
    kafka: providers.Kafka, transactions: Transactions, aggregate_type: str
) -> None:
    made(kafka.bootstrap, aggregate_type)
    producer = started(kafka.bootstrap, aggregate_type)
    write(producer, "first", aggregate_type)

    [found] = transactions.open([(aggregate_type, 0)])
    known = transactions.known([found.producer_id])[found.producer_id]

    assert (found.place, found.producer_epoch, found.start_offset) == ((aggregate_type, 0), 0, 0)
    assert (known.transactional_id, known.state) == (aggregate_type, "Ongoing")
    assert known.partitions == {(aggregate_type, 0)}
    assert find(transactions, [(aggregate_type, 0)]) == []
    end(producer, commit=False)


def test_a_transaction_whose_marker_was_never_written_hangs(transactions: Transactions, hung: Hung) -> None:
    [found] = find(transactions, [(hung.topic, 0), (hung.sound, 0)])

    assert found.found.place == (hung.topic, 0)
    assert found.known is not None
    assert found.known.state == "CompleteCommit"
    assert f"hangs on {hung.topic}/0 from offset 0 on; its coordinator has {hung.name} as CompleteCommit" in str(found)


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "aborted"])
@pytest.mark.parametrize("epoch", ["of the same epoch", "of the next epoch"])
def test_a_later_transaction_on_the_partition_ends_it_with_its_own_outcome(
    kafka: providers.Kafka, transactions: Transactions, hung: Hung, epoch: str, *, commit: bool
) -> None:
    producer = hung.producer if epoch == "of the same epoch" else started(kafka.bootstrap, hung.name)
    write(producer, "second", hung.topic)
    end(producer, commit=commit)

    # The client has its answer before the markers are written.
    wait_until(lambda: not transactions.open([(hung.topic, 0)]), timeout_seconds=SECONDS, what="the markers")
    assert values(kafka.bootstrap, hung.topic) == (["first", "second"] if commit else [])


def test_nothing_else_that_its_producer_does_ends_it(
    kafka: providers.Kafka, transactions: Transactions, hung: Hung
) -> None:
    successor = started(kafka.bootstrap, hung.name)
    write(successor, "second", hung.sound)
    end(successor, commit=True)
    other = started(kafka.bootstrap, f"{hung.name}.other")
    write(other, "third", hung.topic)
    end(other, commit=True)

    assert len(find(transactions, [(hung.topic, 0)])) == 1


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "aborted"])
def test_a_transaction_without_records_ends_it(
    kafka: providers.Kafka, transactions: Transactions, hung: Hung, *, commit: bool
) -> None:
    [found] = transactions.open([(hung.topic, 0)])

    transactions.end(hung.name, [found.place], producer_id=found.producer_id, commit=commit)

    wait_until(lambda: not transactions.open([found.place]), timeout_seconds=SECONDS, what="the marker")
    assert find(transactions, [(hung.topic, 0)]) == []
    assert values(kafka.bootstrap, hung.topic) == (["first"] if commit else [])


@pytest.mark.chaos
@pytest.mark.parametrize("commit", [True, False], ids=["committed", "aborted"])
def test_a_marker_by_an_administrator_ends_it(
    kafka: providers.Kafka, transactions: Transactions, hung: Hung, *, commit: bool
) -> None:
    [found] = transactions.open([(hung.topic, 0)])

    transactions.mark(found, commit=commit)

    assert find(transactions, [(hung.topic, 0)]) == []
    assert values(kafka.bootstrap, hung.topic) == (["first"] if commit else [])


def test_what_no_coordinator_knows_any_more_is_ended_by_a_marker(
    kafka: providers.Kafka, transactions: Transactions, hung: Hung
) -> None:
    [found] = transactions.open([(hung.topic, 0)])

    heal(transactions, Diagnosis(0, (HangingTransaction(found, None),), Outcome.COMMITTED, "a test"))

    assert values(kafka.bootstrap, hung.topic) == ["first"]


def test_what_is_not_proven_is_not_ended(transactions: Transactions, hung: Hung) -> None:
    found = tuple(find(transactions, [(hung.topic, 0)]))

    with pytest.raises(SinkUnavailableError, match="how it ended is not proven: a test"):
        heal(transactions, Diagnosis(0, found, None, "a test"))

    assert len(find(transactions, [(hung.topic, 0)])) == 1


def test_brokers_are_asked_over_tls(kafka: providers.Kafka, aggregate_type: str) -> None:
    made(kafka.bootstrap, aggregate_type)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    host, _, port = kafka.bootstrap.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=forward, args=(listener, context, (host, int(port))), daemon=True).start()
        options = {"security.protocol": "ssl", "ssl.ca.location": str(TLS / "certificate.pem")}
        over_tls = Transactions(Wire(f"localhost:{listener.getsockname()[1]}", options))

        assert over_tls.partitions([aggregate_type]) == [(aggregate_type, 0)]


def forward(listener: socket.socket, context: ssl.SSLContext, broker: tuple[str, int]) -> None:
    """Pass one request that came over TLS to *broker*, and its answer back."""
    client, _ = listener.accept()
    with context.wrap_socket(client, server_side=True) as secured, socket.create_connection(broker) as plain:
        plain.sendall(read_frame(secured) or b"")
        secured.sendall(read_frame(plain) or b"")


def test_it_is_not_ended_under_an_id_that_has_another_producer(transactions: Transactions, hung: Hung) -> None:
    [found] = transactions.open([(hung.topic, 0)])

    with pytest.raises(SinkUnavailableError, match="Kafka forgot it"):
        transactions.end(f"{hung.name}.other", [found.place], producer_id=found.producer_id, commit=True)

    assert len(find(transactions, [(hung.topic, 0)])) == 1


def test_a_topic_that_does_not_exist_has_nothing_open_and_is_not_made(
    transactions: Transactions, aggregate_type: str
) -> None:
    assert transactions.open([(aggregate_type, 0)]) == []
    assert transactions.partitions([aggregate_type]) == []


def test_where_a_login_is_needed_the_question_is_not_put(kafka: providers.Kafka) -> None:
    transactions = Transactions(Wire(kafka.bootstrap, {"security.protocol": "SASL_SSL"}))

    assert (
        transactions.unable == "security.protocol is sasl_ssl, and only plaintext and ssl are spoken for this question"
    )
    with pytest.raises(SinkUnavailableError, match="only plaintext and ssl"):
        transactions.open([("any", 0)])


def test_a_broker_that_is_not_there_is_an_outage() -> None:
    with pytest.raises(SinkUnavailableError, match="ConnectionRefusedError"):
        Transactions(Wire("127.0.0.1:1", {})).open([("any", 0)])
