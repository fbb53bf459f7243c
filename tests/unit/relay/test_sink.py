"""The producer's options: those that the guarantee rests on win over whatever is passed through."""

from collections.abc import Iterator

import pytest

from relay import sink
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

    assert any(kept is producer for _, kept in sink._retired)
