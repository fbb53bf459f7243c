"""The processes of the demo: started in order, watched, and stopped in the opposite order."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self, TypeVar

import httpx
import psycopg

from console.migrate import upgrade

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from devstack import Stack

T = TypeVar("T")
STOP_SECONDS = 15.0


class DemoError(Exception):
    """A step of the demo did not come true."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Processes:
    """The application, the relay, the consumer, the worker and the sweeper, each a process of its own."""

    def __init__(self, servers: Stack, *, logs: Path, environment: dict[str, str], stop: threading.Event) -> None:
        """Prepare the settings that all of them share; *logs* gets one file a process."""
        self._servers = servers
        self._logs = logs
        self._stop = stop
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        self.application_url = f"http://127.0.0.1:{free_port()}"
        self.metrics_port = free_port()
        self.environment = (
            environment
            | servers.environment()
            | {
                "OUTBOX_MAIL_FROM": "Users <no-reply@example.com>",
                # A retry after a second instead of half a minute: nobody wants to wait for a story.
                "OUTBOX_MAIL_BACKOFF_BASE_SECONDS": "1",
                "OUTBOX_MAIL_BACKOFF_CAP_SECONDS": "2",
            }
        )

    def __enter__(self) -> Self:
        """Return these processes; leaving the block stops them."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what runs, the last started first."""
        for _, process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
        for _, process in reversed(self._running):
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def start_all(self) -> None:
        """Migrate, then start everything; return when the application answers."""
        upgrade(self._servers.database_url)
        self._logs.mkdir(parents=True, exist_ok=True)
        port = self.application_url.rsplit(":", 1)[1]
        self._start("application", "-m", "examples.users_app", "--port", port, DATABASE_URL=self._servers.database_url)
        self._start("relay", "-m", "console", "relay", "run", OUTBOX_METRICS_PORT=str(self.metrics_port))
        self._start("consumer", "-m", "console", "mailer", "consume")
        self._start("worker", "-m", "console", "mailer", "work")
        self._start("sweeper", "-m", "console", "mailer", "sweep")
        self.wait(self._application_answers, seconds=60, what="the application to answer")

    def check(self) -> None:
        """Raise a `DemoError` when one of them has ended by itself."""
        for name, process in self._running:
            code = process.poll()
            if code is not None:
                raise DemoError(f"expected the {name} to run, got exit code {code}: see {self._logs / (name + '.log')}")

    def wait(self, condition: Callable[[], T | None], *, seconds: float, what: str) -> T:
        """Return what *condition* returns once it is neither None nor false; fail after *seconds*."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            found = condition()
            if found:
                return found
            if self._stop.wait(0.1):
                raise DemoError(f"interrupted while waiting for {what}")
        raise DemoError(f"waited {seconds:.0f} s for {what}, in vain")

    def outbox(self, *arguments: str) -> str:
        """Run the `outbox` command and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "console", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DemoError(f"outbox {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def query(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Return the rows of *statement*, which is one of the demo's own."""
        with psycopg.connect(self._servers.database_url, autocommit=True) as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    def _start(self, name: str, *arguments: str, **settings: str) -> None:
        log = (self._logs / f"{name}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env=self.environment | settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append((name, process))

    def _application_answers(self) -> bool:
        try:
            return httpx.get(self.application_url + "/health", timeout=2, trust_env=False).is_success
        except httpx.TransportError:
            return False
