"""What a kill of a worker or of the consumer costs: latency, and never a mail or a second one unasked."""

import sys
from collections import Counter
from collections.abc import Callable

import pytest

from devstack.providers import Postgres
from devstack.sink import Sink
from tests.acceptance.mailer.pipeline import COMMAND, Pipeline
from tests.acceptance.mailer.slow_server import SlowServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


def test_a_worker_killed_in_the_middle_of_a_window_leaves_that_window_in_doubt_and_nothing_else(
    make_pipeline: Callable[..., Pipeline], smtp_sink: Sink
) -> None:
    running = make_pipeline()
    running.consumer()
    running.sweeper()
    smtp_sink.script("*", ["ok"] * 12 + ["hang"], phase="dot")
    worker = running.worker()
    events = [running.publish(email=f"u{n}@example.com", new_role="ADMIN") for n in range(40)]
    wait_until(lambda: running.states().get("sending") == 8, timeout_seconds=30, what="a window that hangs")
    wait_until(lambda: len(smtp_sink.messages()) >= 12, timeout_seconds=30, what="mails before it")

    worker.kill()
    smtp_sink.script("*", [], phase="dot")
    running.worker()

    running.wait_states({"sent": 32, "in_doubt": 8}, timeout_seconds=60)
    received = Counter(mail.recipients[0] for mail in smtp_sink.messages())
    assert max(received.values()) == 1
    doubtful = running.query(
        "select count(*) as n from outbox.dead_letter where stage = 'deliver' and reason = 'in_doubt'"
    )
    assert doubtful == [{"n": 8}]
    assert len(events) == 40


@pytest.mark.chaos  # test_steps.py kills at each step; `make chaos ARGS="--mail --broker pgmq"` 200 times
def test_workers_killed_again_and_again_lose_and_double_nothing_that_is_not_in_doubt(
    make_pipeline: Callable[..., Pipeline], smtp_sink: Sink
) -> None:
    running = make_pipeline(OUTBOX_MAIL_LEASE_SECONDS="3")
    running.consumer()
    running.sweeper()
    for n in range(300):
        running.publish(email=f"u{n}@example.com", new_role="ADMIN")
    for quota in (40, 120, 200):
        worker = running.worker()
        smtp_sink.wait(quota, timeout_seconds=30)
        worker.kill()

    running.worker()

    def settled() -> bool:
        assert sum(running.states().get(state, 0) for state in ("sent", "in_doubt")) == 300, running.states()
        return True

    wait_until(settled, timeout_seconds=60, what="every delivery to be sent or in doubt")
    received = Counter(mail.recipients[0] for mail in smtp_sink.messages())
    sent = {row["recipient"] for row in running.query("select recipient from outbox.delivery where state = 'sent'")}
    assert running.states().get("in_doubt", 0) <= 3 * 8
    assert max(received.values()) == 1
    assert sent <= set(received)


def test_a_consumer_killed_and_started_again_plans_nothing_twice(
    make_pipeline: Callable[..., Pipeline], smtp_sink: Sink
) -> None:
    running = make_pipeline()
    running.worker()
    running.sweeper()
    consumer = running.consumer()
    for n in range(100):
        running.publish(email=f"u{n}@example.com", new_role="ADMIN")
    wait_until(running.states, timeout_seconds=30, what="the first deliveries")

    consumer.kill()
    for n in range(100, 150):
        running.publish(email=f"u{n}@example.com", new_role="ADMIN")
    running.consumer()

    running.wait_states({"sent": 150}, timeout_seconds=60)
    received = Counter(mail.recipients[0] for mail in smtp_sink.messages())
    assert len(received) == 150
    assert max(received.values()) == 1


def test_every_process_ends_when_it_is_told_to(make_pipeline: Callable[..., Pipeline], smtp_sink: Sink) -> None:
    running = make_pipeline()
    running.start_all()
    running.delivery(running.publish(email="before@example.com", new_role="ADMIN"), "sent")

    codes = [process.stop() for process in running.processes]

    assert codes == [0, 0, 0]
    assert len(smtp_sink.messages()) == 1
    assert running.query("select 1 from outbox.delivery where claim_token is not null") == []


def test_one_process_for_consumer_and_sweeper_and_celerys_own_command_for_the_worker_are_enough(
    make_pipeline: Callable[..., Pipeline], smtp_sink: Sink
) -> None:
    running = make_pipeline()
    running.start("run", *COMMAND, "mailer", "run").wait_for("mailer.process.started")
    worker = running.start("celery", sys.executable, "-m", "celery", "-A", "mailer.app", "worker", "--pool", "threads")
    worker.wait_for("mailer.process.started")

    event_id = running.publish(email="ada@example.com", new_role="ADMIN")

    running.delivery(event_id, "sent")
    assert worker.stop() == 0
    assert len(smtp_sink.messages()) == 1


def test_what_a_server_answers_while_postgresql_is_away_is_recorded_and_not_in_doubt(
    make_pipeline: Callable[..., Pipeline], postgres: Postgres
) -> None:
    with SlowServer() as server:
        running = make_pipeline(mail_dsn=server.dsn, OUTBOX_MAIL_LEASE_SECONDS="40")
        running.start_all()
        event_id = running.publish(email="ada@example.com", new_role="ADMIN")
        assert server.reached.wait(30)

        postgres.crash()
        server.answer.set()
        [worker] = [process for process in running.processes if process.name == "worker"]
        # A connection that breaks, and then one that cannot be replaced.
        wait_until(lambda: worker.said.count("mailer.database.lost") >= 2, timeout_seconds=20, what="two tries in vain")
        postgres.start()

        assert running.delivery(event_id, "sent", timeout_seconds=30)["attempt"] == 1
