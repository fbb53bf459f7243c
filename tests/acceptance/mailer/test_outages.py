"""What an outage or a restart of any part costs: latency. The processes of `running` outlive all of it."""

from collections.abc import Iterator

import pytest

from devstack.providers import Kafka, Postgres
from devstack.sink import Sink
from tests.acceptance.mailer.pipeline import Pipeline, pipeline
from tests.support.servers import Databases
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def second() -> Iterator[Sink]:
    """The mail server that is used when the first is down."""
    with Sink() as made:
        yield made


@pytest.fixture(scope="module")
def failing_over(
    databases: Databases, kafka: Kafka, sink: Sink, second: Sink, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """A pipeline with two mail servers, which the tests of this module share."""
    with (
        databases.migrated() as database,
        pipeline(
            database=database,
            bootstrap=kafka.bootstrap,
            mail_dsn=f"failover({sink.dsn} {second.dsn})",
            aggregate_type="failover",
            folder=tmp_path_factory.mktemp("mailer"),
        ) as made,
    ):
        made.start_all()
        yield made


def role_changed(running: Pipeline, *recipients: str) -> list[str]:
    return [running.publish(email=recipient, new_role="ADMIN") for recipient in recipients]


def take_down(sink: Sink) -> None:
    """Let *sink* take nothing more: no connection, and no mail on those that are open."""
    sink.script("*", ["421 4.3.2 closing"], phase="mail")
    sink.pause()


def bring_up(sink: Sink) -> None:
    sink.script("*", [], phase="mail")
    sink.resume()


def test_mail_waits_while_its_only_transport_is_down_and_goes_out_when_it_is_back(
    running: Pipeline, sink: Sink, recipient: str
) -> None:
    take_down(sink)
    events = role_changed(running, *(f"{n}{recipient}" for n in range(20)))
    wait_until(
        lambda: running.query("select 1 from outbox.transport where breaker <> 'closed'"),
        timeout_seconds=30,
        what="an open breaker",
    )

    bring_up(sink)

    for event_id in events:
        running.delivery(event_id, "sent")
    assert running.query("select breaker, failures from outbox.transport") == [{"breaker": "closed", "failures": 0}]


def test_everything_goes_out_by_the_second_transport_while_the_first_is_down_and_then_by_the_first_again(
    failing_over: Pipeline, sink: Sink, second: Sink, recipient: str
) -> None:
    take_down(sink)
    events = role_changed(failing_over, *(f"{n}{recipient}" for n in range(20)))
    for event_id in events:
        failing_over.delivery(event_id, "sent")
    assert sum(recipient in mail.recipients[0] for mail in second.messages()) == 20

    bring_up(sink)

    def used_again() -> bool:
        [event_id] = role_changed(failing_over, f"again{recipient}")
        failing_over.delivery(event_id, "sent")
        return bool(sink.messages(recipient=f"again{recipient}"))

    wait_until(used_again, timeout_seconds=30, what="the first transport to be used again")


def test_a_lost_reply_is_never_given_to_another_transport(
    failing_over: Pipeline, sink: Sink, second: Sink, recipient: str
) -> None:
    sink.script(recipient, ["keep drop", "ok"], phase="dot")

    event_id = failing_over.publish(
        "user.registered", email=recipient, name="Ada", verification_url="https://example.com/verify/1"
    )

    failing_over.delivery(event_id, "sent")
    assert len(sink.messages(recipient=recipient)) == 2
    assert second.messages(recipient=recipient) == []


def test_every_process_outlives_a_crash_of_postgresql(
    running: Pipeline, sink: Sink, postgres: Postgres, recipient: str
) -> None:
    [before] = role_changed(running, f"before{recipient}")
    running.delivery(before, "sent")

    postgres.crash()
    [during] = role_changed(running, f"during{recipient}")
    postgres.start()

    running.delivery(during, "sent", timeout_seconds=60)
    [after] = role_changed(running, f"after{recipient}")
    running.delivery(after, "sent", timeout_seconds=30)
    assert [len(sink.messages(recipient=f"{when}{recipient}")) for when in ("before", "during", "after")] == [1, 1, 1]
    assert all(process.popen.poll() is None for process in running.processes)


def test_the_consumer_outlives_a_restart_of_kafka(running: Pipeline, sink: Sink, kafka: Kafka, recipient: str) -> None:
    [before] = role_changed(running, f"before{recipient}")
    running.delivery(before, "sent")

    kafka.stop()
    kafka.start()

    [after] = role_changed(running, f"after{recipient}")
    running.delivery(after, "sent", timeout_seconds=60)
    assert [len(sink.messages(recipient=f"{when}{recipient}")) for when in ("before", "after")] == [1, 1]
