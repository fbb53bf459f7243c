"""Relay processes for tests: started, watched through their telemetry events, killed, paused and waited for."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.meeting import Meeting
from tests.support.servers import unreachable
from tests.support.waiting import wait_until


@dataclass(slots=True)
class RelayProcess:
    """One relay, real but for its observers."""

    process: subprocess.Popen[str]
    events_path: Path
    output_path: Path
    dead: bool = field(default=False)

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the telemetry events so far, all of them or those of one name."""
        if not self.events_path.exists():
            return []
        lines = self.events_path.read_text(encoding="utf-8").splitlines()
        events = [json.loads(line) for line in lines if line.endswith("}")]
        return [event for event in events if name is None or event["event"] == name]

    def wait_for(self, name: str, *, count: int = 1, timeout_seconds: float = 20) -> dict[str, Any]:
        """Return the *count*-th event of that name, once it has come."""

        def found() -> dict[str, Any] | None:
            events = self.events(name)
            if len(events) >= count:
                return events[count - 1]
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"expected {name}, and the relay ended with {self.process.returncode}: {self.output}"
                )
            return None

        return wait_until(found, timeout_seconds=timeout_seconds, what=f"{name} number {count}")

    @property
    def output(self) -> str:
        """Return what the relay has written to stdout and stderr."""
        return self.output_path.read_text(encoding="utf-8")

    def wait(self, *, timeout_seconds: float = 45) -> int:
        """Return the exit code, once the process has ended."""
        return self.process.wait(timeout_seconds)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self) -> None:
        """Kill it, however it is, and collect it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(10)


class Relays:
    """Starts relays on one database and one broker."""

    def __init__(self, *, dsn: str, bootstrap: str, folder: Path) -> None:
        """Keep events and output of each in *folder*."""
        self._dsn = dsn
        self._bootstrap = bootstrap
        self._folder = folder
        self._started: list[RelayProcess] = []

    def start(
        self,
        mode: str,
        *,
        crash_at: str | None = None,
        pause_at: str | None = None,
        meeting: Meeting | None = None,
        settings: Mapping[str, object] | None = None,
        module: str = "tests.support.crashing_relay",
    ) -> RelayProcess:
        """Start a relay, which waits at the *meeting* for the test; *module* is what is run.

        *settings* are OUTBOX_… variables, without the prefix and in lower case.
        """
        name = uuid.uuid4().hex[:8]
        events, output = self._folder / f"{name}.events", self._folder / f"{name}.output"
        given = {
            "database_url": self._dsn,
            "kafka_bootstrap": self._bootstrap,
            "test_events": events,
            **(settings or {}),
        }
        if crash_at:
            given["test_crash_at"] = crash_at
        if pause_at:
            given["test_pause_at"] = pause_at
        if meeting:
            given |= {"test_meet_at": meeting.place, "test_meet_port": meeting.port}
        with output.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", module, mode],
                env={
                    **unreachable(os.environ),
                    **{f"OUTBOX_{key.upper()}": str(value) for key, value in given.items()},
                },
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        relay = RelayProcess(process, events, output)
        self._started.append(relay)
        return relay

    def drain(self, **options: Any) -> RelayProcess:
        """Drain, and return the relay once it has ended well."""
        relay = self.start("drain", **options)
        code = relay.wait()
        if code != 0:
            raise AssertionError(f"expected the drain to end with 0, got {code}: {relay.output}")
        return relay

    def outbox(self, *arguments: str) -> str:
        """Return what `outbox` with *arguments* says as a process of its own, against the same servers."""
        done = subprocess.run(
            [sys.executable, "-m", "console", *arguments],
            env={
                **unreachable(os.environ),
                "OUTBOX_DATABASE_URL": self._dsn,
                "OUTBOX_KAFKA_BOOTSTRAP": self._bootstrap,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"expected `outbox {' '.join(arguments)}` to end with 0, got {done}")
        return done.stdout

    def end(self) -> None:
        """Kill what still runs."""
        for relay in self._started:
            relay.end()


@contextmanager
def relays_on(dsn: str, bootstrap: str, folder: Path) -> Iterator[Relays]:
    """Give what starts relays, and kill them in the end."""
    relays = Relays(dsn=dsn, bootstrap=bootstrap, folder=folder)
    try:
        yield relays
    finally:
        relays.end()
