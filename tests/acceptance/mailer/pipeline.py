"""The mailer's processes as an operator starts them, on a real Kafka, PostgreSQL, Celery and an SMTP sink."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # its stubs lack it
from psycopg.rows import dict_row

from outbox.envelope import CloudEventsBinary, StoredEvent
from tests.support.servers import unreachable
from tests.support.waiting import wait_until

_VERBS = {"consumer": "consume", "worker": "work", "sweeper": "sweep"}
COMMAND = (sys.executable, "-m", "console")


class Process:
    """A started process, with its log."""

    def __init__(self, name: str, arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}-{uuid.uuid4().hex[:6]}.log"
        with self.log.open("wb") as output:
            self.popen = subprocess.Popen(
                arguments,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, words: str, *, timeout_seconds: float = 30) -> Self:
        def said() -> bool:
            if self.popen.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.popen.returncode}: {self.said}")
            return words in self.said

        wait_until(said, timeout_seconds=timeout_seconds, what=f"{words!r} from {self.name}: {self.log}")
        return self

    def kill(self) -> None:
        """Kill it and its children at once, as a machine that loses power does."""
        os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def stop(self, *, timeout_seconds: float = 30) -> int:
        """Stop it as an operator does, and return its exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


class Pipeline:
    """Starts processes on one database and one topic."""

    def __init__(
        self, *, database: str, bootstrap: str, mail_dsn: str, aggregate_type: str, folder: Path, **more: str
    ) -> None:
        self.database = database
        self.topic = f"outbox.event.{aggregate_type}"
        self._bootstrap = bootstrap
        self._aggregate_type = aggregate_type
        self._folder = folder
        self.processes: list[Process] = []
        self._encoder = CloudEventsBinary(source="/outbox/test")
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
        self.make_topic()
        self.environment = unreachable(os.environ) | {  # noqa: TID251 - what the processes inherit
            # With the rights of its role and no others, as in production.
            "OUTBOX_DATABASE_URL": f"{database}?options=-c%20role%3Doutbox_mailer",
            "OUTBOX_KAFKA_BOOTSTRAP": bootstrap,
            "OUTBOX_MAIL_DSN": mail_dsn,
            "OUTBOX_MAIL_FROM": "Users <no-reply@example.com>",
            "OUTBOX_MAIL_BACKOFF_BASE_SECONDS": "0.2",
            "OUTBOX_MAIL_BACKOFF_CAP_SECONDS": "1",
            "OUTBOX_MAIL_LEASE_SECONDS": "6",
            "OUTBOX_MAILER_PROCESSES": "1",
            "OUTBOX_MAILER_SWEEP_SECONDS": "0.2",
            "OUTBOX_MAILER_TOPICS": f"^{self.topic.replace('.', chr(92) + '.')}$",
            "OUTBOX_MAILER_TOPICS_REFRESH_SECONDS": "0.2",
            "OUTBOX_METRICS_PORT": "0",
            "OUTBOX_LOG_FORMAT": "json",
            "OUTBOX_LOG_LEVEL": "debug",
            **more,
        }

    def consumer(self) -> Process:
        return self.start("consumer", *COMMAND, "mailer", "consume").wait_for("mailer.process.started")

    def worker(self) -> Process:
        return self.start("worker", *COMMAND, "mailer", "work").wait_for("mailer.process.started")

    def sweeper(self) -> Process:
        return self.start("sweeper", *COMMAND, "mailer", "sweep").wait_for("mailer.process.started")

    def start_all(self) -> None:
        """Start one of each, side by side."""
        started = [self.start(name, *COMMAND, "mailer", verb) for name, verb in _VERBS.items()]
        for process in started:
            process.wait_for("mailer.process.started")

    def start(self, name: str, *arguments: str) -> Process:
        process = Process(name, arguments, self.environment, self._folder)
        self.processes.append(process)
        return process

    def make_topic(self, partitions: int = 1) -> None:
        admin = AdminClient({"bootstrap.servers": self._bootstrap})
        for made in admin.create_topics([NewTopic(self.topic, partitions, 1)]).values():
            made.result(20)

    def publish(
        self,
        type_: str = "user.role_upgraded",
        *,
        event_id: str | None = None,
        aggregate_id: str = "42",
        **payload: object,
    ) -> str:
        """Publish an event as the relay does, and return its id."""
        identity = event_id or str(uuid.uuid4())
        event = StoredEvent(
            event_id=identity,
            aggregate_type=self._aggregate_type,
            aggregate_id=aggregate_id,
            type=type_,
            payload=json.dumps(payload),
            headers=None,
            topic=None,
            created_at="2026-01-01T00:00:00.000000Z",
        )
        record = self._encoder.encode(event)
        self._producer.produce(self.topic, key=record.key, value=record.value, headers=list(record.headers))
        self._producer.flush(20)
        return identity

    def publish_raw(self, value: bytes, headers: dict[str, bytes]) -> None:
        self._producer.produce(self.topic, key=b"42", value=value, headers=list(headers.items()))
        self._producer.flush(20)

    def query(self, statement: str, *arguments: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.database, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(statement.encode(), arguments)
            return cursor.fetchall() if cursor.description else []

    def delivery(self, event_id: str, state: str, *, timeout_seconds: float = 20) -> dict[str, Any]:
        """Return the only delivery of an event, once it is in *state*."""

        def found() -> dict[str, Any]:
            [row] = self.query("select * from outbox.delivery where event_id = %s", event_id) or [{}]
            assert row.get("state") == state, row.get("state")
            return row

        return wait_until(found, timeout_seconds=timeout_seconds, what=f"the delivery to be {state} ({self._folder})")

    def attempts(self, event_id: str) -> list[tuple[str, str, int | None]]:
        """Return phase, outcome and code of each attempt for an event."""
        rows = self.query(
            "select a.phase, a.outcome, a.code from outbox.attempt a join outbox.delivery d on d.id = a.delivery_id"
            " where d.event_id = %s order by a.id",
            event_id,
        )
        return [(row["phase"], row["outcome"], row["code"]) for row in rows]

    def dead_letters(self, event_id: str) -> list[dict[str, Any]]:
        return self.query("select * from outbox.dead_letter where event_id = %s order by id", event_id)

    def endpoint(self, name: str) -> str:
        """Return the address of a process's metrics."""
        [process] = [process for process in self.processes if process.name == name]
        lines = [json.loads(line) for line in process.said.splitlines() if "mailer.endpoint.opened" in line]
        return f"http://127.0.0.1:{lines[0]['port']}"

    def said(self) -> str:
        """Return everything that every process has logged."""
        return "".join(process.said for process in self.processes)

    def states(self) -> dict[str, int]:
        rows = self.query("select state, count(*) as n from outbox.delivery group by state")
        return {row["state"]: row["n"] for row in rows}

    def wait_states(self, expected: Mapping[str, int], *, timeout_seconds: float = 30) -> None:
        wait_until(
            lambda: self.states() == dict(expected) or _not_yet(self.states()),
            timeout_seconds=timeout_seconds,
            what=f"deliveries to be {expected} (logs in {self._folder})",
        )

    def close(self) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                process.kill()


def _not_yet(states: Mapping[str, int]) -> bool:
    raise AssertionError(states)


@contextmanager
def pipeline(**arguments: Any) -> Iterator[Pipeline]:
    """Give a pipeline whose processes end with the test."""
    made = Pipeline(**arguments)
    try:
        yield made
    finally:
        made.close()
