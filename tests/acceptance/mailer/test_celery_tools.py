"""Celery's own commands, for those who know them: what they say, what they stop, and what they refuse."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from devstack.sink import Sink
from tests.acceptance.mailer.pipeline import Pipeline
from tests.support import brokers
from tests.support.brokers import Broker
from tests.support.servers import unreachable
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)
CELERY = (sys.executable, "-m", "celery", "-A", "mailer.app")


def celery(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Celery's as a person does, and return what it said."""
    return subprocess.run(
        [*CELERY, *arguments], env=environment, capture_output=True, text=True, timeout=90, check=False
    )


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """Settings that lead nowhere, for what is refused before anything is connected."""
    return unreachable(os.environ) | {  # noqa: TID251 - what the command inherits
        "OUTBOX_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nowhere",
        "OUTBOX_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "OUTBOX_MAIL_DSN": f"file://{tmp_path}",
        "OUTBOX_MAIL_FROM": "no-reply@example.com",
    }


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A Redis of this machine's packages."""
    if lacking := brokers.missing("redis"):
        pytest.skip(lacking)
    broker = brokers.started("redis", tmp_path_factory.mktemp("redis"))
    yield broker
    broker.close()


def test_a_worker_answers_inspect_and_shut_down_from_afar_finishes_its_mails(
    make_pipeline: Callable[..., Pipeline], smtp_sink: Sink, redis: Broker
) -> None:
    running = make_pipeline(OUTBOX_CELERY_BROKER_URL=redis.url, OUTBOX_MAIL_LEASE_SECONDS="60")
    worker = running.worker()
    name = f"outbox-{worker.popen.pid}@{socket.gethostname()}"
    ping = celery(running.environment, "inspect", "ping", "--destination", name, "--timeout", "30")
    stats = celery(running.environment, "inspect", "stats", "--destination", name, "--timeout", "30")
    smtp_sink.script("*", ["after 1"], phase="dot")
    running.consumer()
    for n in range(24):
        running.publish(email=f"u{n}@example.com", new_role="ADMIN")
    wait_until(lambda: running.states().get("sending"), timeout_seconds=30, what="a window under way")

    # Whoever is shut down answers nothing, and Celery's command says so: "No nodes replied", exit code 69.
    celery(running.environment, "control", "shutdown")

    assert worker.popen.wait(60) == 0
    assert (ping.returncode, "pong" in ping.stdout) == (0, True), ping
    assert (stats.returncode, '"max-concurrency": 1' in stats.stdout) == (0, True), stats
    assert running.states().keys() <= {"sent", "queued"}
    assert len(smtp_sink.messages()) == running.states()["sent"] > 0
    assert running.query("select 1 from outbox.delivery where claim_token is not null") == []


@pytest.mark.parametrize("command", [("inspect", "ping"), ("control", "shutdown")])
def test_on_pgmq_remote_control_is_refused_with_the_reason(command: tuple[str, str], settings: dict[str, str]) -> None:
    refused = celery(settings, *command)

    assert refused.returncode != 0
    assert f"{command[1]}: Celery's remote control is off on pgmq://" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("own", "arguments", "said"),
    [
        (
            "filesystem://",
            (),
            "error: OUTBOX_CELERY_BROKER_URL: expected pgmq://, amqp:// or redis:// as the broker, got filesystem",
        ),
        ("redis://localhost", ("--broker", "memory://"), "error: another broker is named by CELERY_BROKER_URL"),
    ],
)
def test_a_worker_on_a_broker_that_is_refused_does_not_start_and_says_why(
    own: str, arguments: tuple[str, ...], said: str, settings: dict[str, str]
) -> None:
    refused = celery(settings | {"OUTBOX_CELERY_BROKER_URL": own}, *arguments, "worker")

    assert refused.returncode == 2
    assert refused.stderr.startswith(said)
    assert "Traceback" not in refused.stderr
