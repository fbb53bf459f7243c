"""Rule 3: the position is what is committed before the end of its partition, once everything before that is decided."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace

import pytest
from confluent_kafka import Producer

from devstack import providers
from relay.errors import HaltedError, SinkUnavailableError
from relay.lease import Installation
from relay.progress import LastRecord, ProgressReader
from relay.window import Progress
from tests.support.kafka_network import Action, Api, Fault, KafkaNetwork
from tests.support.topics import TopicAdmin

# Of the clients here: a transaction that a test leaves open ends soon after it.
_TIMEOUT = 10_000
# Seconds within which a position has to show here; nothing has to happen within them.
_PATIENCE = 1.0


@pytest.fixture
def installation(kafka: providers.Kafka) -> Installation:
    """An installation whose progress topic is there."""
    made = Installation(install=str(uuid.uuid4()), gen=1, sysid=7, shards=1)
    TopicAdmin(kafka.bootstrap).create(made.progress_topic, partitions=1, config={"cleanup.policy": "compact"})
    return made


@pytest.fixture
def reader(kafka: providers.Kafka, installation: Installation) -> Iterator[ProgressReader]:
    """What a relay reads its position with."""
    opened = ProgressReader({"bootstrap.servers": kafka.bootstrap}, installation, 0)
    yield opened
    opened.close()


@pytest.fixture
def network(kafka: providers.Kafka) -> Iterator[KafkaNetwork]:
    """What stands between the reader and the broker."""
    opened = KafkaNetwork.before(kafka.bootstrap)
    yield opened
    opened.close()


@pytest.fixture
def distant_reader(network: KafkaNetwork, installation: Installation) -> Iterator[ProgressReader]:
    """A reader with little patience, behind the network."""
    opened = ProgressReader({"bootstrap.servers": network.bootstrap}, installation, 0, seconds=_PATIENCE)
    yield opened
    opened.close()


class Writer:
    """Writes progress records in transactions of its own."""

    def __init__(self, kafka: providers.Kafka, installation: Installation) -> None:
        """Begin nothing yet."""
        self._installation = installation
        self.producer = Producer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "transactional.id": f"test.{uuid.uuid4()}",
                "transaction.timeout.ms": _TIMEOUT,
                "linger.ms": 0,
            }
        )
        self.producer.init_transactions(30)

    def write(self, seq: int, *, key: bytes | None = None, count: int = 1) -> Progress:
        """Write a record of window *seq* in an open transaction, and have it reach the broker."""
        record = replace(_RECORD, install=self._installation.install, seq=seq)
        self.producer.begin_transaction()
        for _ in range(count):
            self.producer.produce(self._installation.progress_topic, record.encode(), key or record.key, partition=0)
        assert self.producer.flush(30) == 0
        return record

    def commit(self, seq: int, *, key: bytes | None = None, count: int = 1) -> Progress:
        """The same, and commit it."""
        record = self.write(seq, key=key, count=count)
        self.producer.commit_transaction(30)
        return record


_RECORD = Progress(
    install="", gen=1, sysid=7, shard=0, epoch=1, seq=1, prev_seq=0, a="3:3:", b="3:9:", last_id=None, n=0, sha=""
)


def test_the_position_is_not_known_while_an_open_transaction_may_hide_it(
    kafka: providers.Kafka, installation: Installation, reader: ProgressReader
) -> None:
    ours, open_one = Writer(kafka, installation), Writer(kafka, installation)
    ours.commit(1)
    open_one.write(7)
    hidden = ours.commit(2)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(reader.last)
        with pytest.raises(FutureTimeoutError):
            reading.result(timeout=0.5)
        open_one.producer.abort_transaction(30)

        assert reading.result(timeout=30) == LastRecord(hidden)


def test_a_position_that_was_aborted_is_none(
    kafka: providers.Kafka, installation: Installation, reader: ProgressReader
) -> None:
    ours = Writer(kafka, installation)
    committed = ours.commit(1)
    ours.write(2)
    ours.producer.abort_transaction(30)

    assert reader.last() == LastRecord(committed)


def test_a_position_far_from_the_end_is_found(
    kafka: providers.Kafka, installation: Installation, reader: ProgressReader
) -> None:
    ours = Writer(kafka, installation)
    committed = ours.commit(1)
    ours.write(2, count=100)
    ours.producer.abort_transaction(30)

    assert reader.last() == LastRecord(committed)


def test_a_record_under_another_key_is_foreign(
    kafka: providers.Kafka, installation: Installation, reader: ProgressReader
) -> None:
    record = Writer(kafka, installation).commit(1, key=b"another")

    assert reader.last() == LastRecord(record, foreign=True)


def test_an_empty_partition_has_no_position(reader: ProgressReader) -> None:
    assert reader.last() == LastRecord(None)


def test_a_position_that_stays_hidden_stops_the_takeover(
    kafka: providers.Kafka, installation: Installation, distant_reader: ProgressReader
) -> None:
    Writer(kafka, installation).commit(1)
    hiding = Writer(kafka, installation)
    hiding.write(2)

    with pytest.raises(HaltedError, match="an open transaction hides the position"):
        distant_reader.last()

    hiding.producer.abort_transaction(30)


@pytest.mark.parametrize("action", [Action.LOSE_REQUEST, Action.RESET_REQUEST])
def test_a_reader_that_gets_no_records_takes_it_for_an_outage(
    action: Action,
    kafka: providers.Kafka,
    installation: Installation,
    network: KafkaNetwork,
    distant_reader: ProgressReader,
) -> None:
    committed = Writer(kafka, installation).commit(1)
    network.inject(Fault(Api.FETCH, action, times=1_000_000))

    with pytest.raises(SinkUnavailableError, match="no transaction is open there"):
        distant_reader.last()
    network.calm()
    network.cut_all()

    assert distant_reader.last() == LastRecord(committed)


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_a_partition_whose_ends_are_not_known_is_not_taken_for_an_empty_one(
    answered: int,
    kafka: providers.Kafka,
    installation: Installation,
    network: KafkaNetwork,
    distant_reader: ProgressReader,
) -> None:
    """A client that gets no answer gives an impossible offset, and no error."""
    Writer(kafka, installation).commit(1)
    network.inject(Fault(Api.LIST_OFFSETS, Action.RESET_REQUEST, times=1_000_000, after=answered))
    network.inject(Fault(Api.FETCH, Action.LOSE_REQUEST, times=1_000_000))

    with pytest.raises(SinkUnavailableError, match="no answer about the offsets of"):
        distant_reader.last()
