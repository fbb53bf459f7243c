"""A producer on a real broker: what its fencing looks like, and how it is dropped."""

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator

import pytest

from devstack import providers
from outbox.envelope import Record
from relay.errors import UncleanError
from relay.machine import Unclean, judge_commit
from relay.sink import KafkaSink
from relay.telemetry import Telemetry
from tests.support.kafka_network import Action, Api, Fault, KafkaNetwork
from tests.support.topics import TopicAdmin
from tests.support.waiting import wait_until

EVENTS = 1000
MakeSink = Callable[[], KafkaSink]


@pytest.fixture
def topic(kafka: providers.Kafka) -> str:
    """A topic of its own."""
    name = f"sink-{uuid.uuid4().hex[:12]}"
    TopicAdmin(kafka.bootstrap).create(name, partitions=3)
    return name


@pytest.fixture
def make_sink(kafka: providers.Kafka, topic: str) -> Iterator[MakeSink]:
    """Makes sinks with the same transactional id: each that is initialised fences those before it."""
    made: list[KafkaSink] = []

    def make() -> KafkaSink:
        sink = KafkaSink(
            options={"bootstrap.servers": kafka.bootstrap},
            transactional_id=f"id-{topic}",
            progress_topic=topic,
            partition=0,
            largest=1_000_000,
            batch=1_000_000,
            telemetry=Telemetry(),
        )
        made.append(sink)
        wait_until(lambda: sink.initialise(1), timeout_seconds=60, what="a producer")
        return sink

    yield make
    for sink in made:
        sink.close()


@pytest.mark.parametrize("fenced_after", [0, EVENTS // 2, EVENTS])
def test_a_producer_that_is_fenced_within_a_page_ends_uncleanly_and_accuses_no_record(
    fenced_after: int, topic: str, make_sink: MakeSink
) -> None:
    records = {row: Record(topic, str(row).encode(), b"x" * 3000, (("id", b"1"),)) for row in range(EVENTS)}
    fenced = make_sink()
    fenced.begin()
    for row in range(fenced_after):
        fenced.produce(records[row])

    make_sink()

    try:
        for row in range(fenced_after, EVENTS):
            fenced.produce(records[row])
        fenced.produce_progress(b"key", b"value")
    except UncleanError:
        return  # the client had noticed by then
    verdict = judge_commit(fenced.commit(records), records)
    assert isinstance(verdict, Unclean)
    assert verdict.suspects == frozenset()


@pytest.mark.parametrize("way", ["leave", "exit"])
def test_a_process_ends_as_it_wants_though_its_producer_waits_for_an_answer(
    way: str, kafka: providers.Kafka, topic: str
) -> None:
    """librdkafka ends the process with an assertion, -6, if the producer is destroyed in that instant."""
    network = KafkaNetwork.before(kafka.bootstrap)
    command = [sys.executable, "-m", "tests.integration.relay.dropping_producer", network.bootstrap, topic, way]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as dropping:
        assert dropping.stdin is not None
        assert dropping.stdout is not None
        assert dropping.stdout.readline() == "initialised\n"
        lost = network.inject(Fault(Api.ADD_PARTITIONS_TO_TXN, Action.LOSE_ANSWER, times=100))
        dropping.stdin.write("\n")
        dropping.stdin.flush()
        wait_until(lambda: lost.answered, timeout_seconds=30, what="an answer that gets lost")

        dropping.stdin.write("\n")
        dropping.stdin.flush()

        assert dropping.wait(60) == 0
    network.close()
