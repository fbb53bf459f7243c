"""What rule 4 rests on in the client itself, without a relay: another version of it has to show all of this anew."""

import logging
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import KafkaException, Producer

from devstack import providers
from relay.sink import GUARDED, _EosLog
from relay.telemetry import Telemetry
from tests.support.checker import read_committed
from tests.support.kafka_network import Action, Api, Fault, KafkaNetwork
from tests.support.topics import TopicAdmin
from tests.support.waiting import wait_until

# What these tests have seen, and what pyproject.toml pins.
CLIENT = "2.16.1"
LIBRARY = "2.16.0"
SECONDS = 30


class Client:
    """A producer as the relay makes it, and all that it logs."""

    def __init__(self, bootstrap: str, name: str) -> None:
        """Initialise it under the transactional id *name*."""
        self.lines: list[str] = []
        self.heard = _EosLog(Telemetry())
        logger = logging.Logger(name, logging.DEBUG)  # noqa: LOG001 - as the relay's: not in the tree
        logger.addHandler(self.heard)
        logger.addHandler(_Kept(self.lines))
        own = {"bootstrap.servers": bootstrap, "transactional.id": name, "linger.ms": 0}
        self.producer = Producer({**own, **GUARDED}, logger=logger)
        self.producer.init_transactions(SECONDS)
        self.topic = name

    def begin(self, *ids: str) -> None:
        """Begin a transaction, and have records with these *ids* reach the broker in it."""
        self.heard.answers.clear()
        self.producer.begin_transaction()
        self.write(*ids)

    def write(self, *ids: str) -> None:
        """Have records with these *ids* reach the broker."""
        for one in ids:
            self.producer.produce(self.topic, b"", b"key", headers=[("id", one.encode())])
        assert self.producer.flush(SECONDS) == 0

    def commit(self) -> list[str]:
        """Commit, and return what the handler of the relay has heard of it."""
        self.producer.commit_transaction(SECONDS)
        self.producer.poll(0)
        return list(self.heard.answers)


class _Kept(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())


@pytest.fixture
def network(kafka: providers.Kafka) -> Iterator[KafkaNetwork]:
    """What stands between the client and the broker."""
    opened = KafkaNetwork.before(kafka.bootstrap)
    yield opened
    opened.close()


@pytest.fixture
def client(kafka: providers.Kafka, network: KafkaNetwork, aggregate_type: str) -> Client:
    """A client behind the network, and a topic of its name."""
    TopicAdmin(kafka.bootstrap).create(aggregate_type, partitions=1)
    return Client(network.bootstrap, aggregate_type)


def published(kafka: providers.Kafka, client: Client) -> list[str]:
    """Return the ids that a `read_committed` consumer sees."""
    return [record.event_id for record in read_committed(kafka.bootstrap, [client.topic])]


def test_the_client_is_the_one_that_is_pinned_and_was_tested() -> None:
    project = tomllib.loads(Path(__file__).parents[3].joinpath("pyproject.toml").read_text(encoding="utf-8"))
    dependencies = [one for group in project["project"].get("optional-dependencies", {}).values() for one in group]
    pins = {one for one in [*project["project"]["dependencies"], *dependencies] if one.startswith("confluent-kafka")}

    assert pins == {f"confluent-kafka=={CLIENT}"}
    assert version("confluent-kafka") == CLIENT
    assert confluent_kafka.libversion()[0] == LIBRARY


def test_a_plain_end_is_told_once_and_without_an_error(kafka: providers.Kafka, client: Client) -> None:
    client.begin("one")

    assert client.commit() == ["NO_ERROR"]

    assert published(kafka, client) == ["one"]


def test_a_lost_answer_shows_in_the_debug_log_and_nowhere_else(
    kafka: providers.Kafka, client: Client, network: KafkaNetwork
) -> None:
    """The client repeats the request and returns as if nothing had been: the words of this line are all there is."""
    client.begin("one")
    network.inject(Fault(Api.END_TXN, Action.RESET_ANSWER))

    first, *others, last = client.commit()

    assert (first, last) == ("_TRANSPORT", "NO_ERROR")
    assert set(others) <= {"CONCURRENT_TRANSACTIONS"}, "the broker may still be writing the markers"
    assert any(re.search(r"EndTxn returned _TRANSPORT", line) for line in client.lines)
    assert published(kafka, client) == ["one"]


def test_a_late_end_commits_the_first_half_of_the_next_transaction(
    kafka: providers.Kafka, client: Client, network: KafkaNetwork
) -> None:
    """That is why a producer which saw anything unclean begins no other transaction."""
    client.begin("one")
    network.inject(Fault(Api.END_TXN, Action.HOLD_AND_RESET, seconds=2))
    assert client.commit()[0] == "_TRANSPORT"
    assert not network.late, "expected the end that is held to arrive within the next transaction"

    client.begin("two")
    wait_until(lambda: network.late, timeout_seconds=SECONDS, what="the late end")
    halves = ["one", "two"]
    wait_until(lambda: published(kafka, client) == halves, timeout_seconds=SECONDS, what="half a transaction")

    client.producer.produce(client.topic, b"", b"key", headers=[("id", b"the other half")])
    with pytest.raises(KafkaException) as refused:
        client.commit()
    assert refused.value.args[0].txn_requires_abort()
    assert any("INVALID_TXN_STATE" in line for line in client.lines), client.lines
    assert published(kafka, client) == halves
