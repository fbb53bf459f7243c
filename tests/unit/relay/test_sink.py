"""The producer's options: those that the guarantee rests on win over whatever is passed through."""

import threading
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaError

from outbox.envelope import Record
from relay import sink
from relay.errors import SinkUnavailableError, UncleanError
from relay.machine import Unclean, judge_commit
from relay.sink import GUARDED, KafkaSink
from relay.telemetry import Telemetry


@pytest.fixture
def dropped() -> Iterator[list[KafkaSink]]:
    """Sinks that are closed in the end."""
    made: list[KafkaSink] = []
    yield made
    for one in made:
        one.close()


def sink_with(options: dict[str, str]) -> KafkaSink:
    """Return a sink that has no broker to connect to."""
    return KafkaSink(
        options=options,
        transactional_id="outbox.i.1.0",
        progress_topic="outbox.i.progress",
        partition=0,
        largest=1_000_000,
        batch=1_000_000,
        telemetry=Telemetry(),
    )


def test_what_the_guarantee_rests_on_cannot_be_overridden(dropped: list[KafkaSink]) -> None:
    """The client itself refuses a transactional producer without idempotence, or with more than five requests."""
    dropped.append(sink_with({"enable.idempotence": "false", "max.in.flight": "100", "acks": "0"}))


def test_the_options_are_those_of_the_protocol() -> None:
    """Section 6; one request under way, because of what a new partition's leader does to the second."""
    assert GUARDED == {
        "enable.idempotence": True,
        "acks": "all",
        "max.in.flight.requests.per.connection": 1,
        "max.in.flight": 1,
        "transaction.timeout.ms": 15_000,
        "socket.timeout.ms": 5_000,
        "partitioner": "murmur2_random",
        "delivery.report.only.error": True,
        "debug": "eos",
        "allow.auto.create.topics": False,
    }


def test_a_dropped_producer_is_kept_until_its_requests_have_timed_out() -> None:
    """librdkafka ends the process when a producer is destroyed while it adds partitions to a transaction."""
    made = sink_with({})
    producer = made._producer

    made.close()

    keepers = [one for one in threading.enumerate() if isinstance(one, threading.Timer) and producer in one.args]
    assert [keeper.interval for keeper in keepers] == [10]
    keepers[0].cancel()


class Interrupted:
    """A producer whose callbacks are entered with an exception pending, as when it is fenced."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        def call(*_arguments: object, **_more: object) -> None:
            raise SystemError("<method 'code'> returned a result with an exception set") from ValueError("fenced")

        return call


@pytest.fixture
def interrupted() -> KafkaSink:
    """A sink with such a producer."""
    made = sink_with({})
    made.close()
    made._producer = Interrupted()  # type: ignore[assignment]  # stands in for a client of C
    return made


def test_a_callback_that_python_interrupts_makes_a_commit_unclean(interrupted: KafkaSink) -> None:
    evidence = interrupted.commit({})

    assert isinstance(judge_commit(evidence, ()), Unclean)
    assert evidence.problem == "commit_transaction: _FATAL: a callback was interrupted: fenced"


def test_a_callback_that_python_interrupts_is_no_fault_of_a_record(interrupted: KafkaSink) -> None:
    record = Record("topic", b"key", b"value", ())

    with pytest.raises(UncleanError):
        interrupted.produce(record)
    with pytest.raises(UncleanError):
        interrupted.produce_progress(b"key", b"value")
    with pytest.raises(UncleanError):
        interrupted.begin()
    with pytest.raises(SinkUnavailableError):
        interrupted.initialise(1)


def test_a_client_that_broke_is_no_fault_of_the_record_that_found_it_so() -> None:
    broken = KafkaError(KafkaError._FATAL, "Unable to produce message: Local: Fatal error")

    assert isinstance(sink._refusal(broken), UncleanError)
