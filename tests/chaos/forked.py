"""Relay processes by fork: each is killed like any other, and starts in 50 ms instead of a second of our two cores.

A server process imports the relay once and forks from there on; it has one thread and no client of anything yet.
"""

import faulthandler
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devstack.guard import die_with_parent
from tests.support.crashing_relay import main

_FORKS = multiprocessing.get_context("forkserver")
# Of all that a relay tells, what the harness looks at.
_LOOKED_AT = ("relay.session.opened", "relay.position.accepted", "relay.page.committed", "relay.shard.halted")
# Starting and collecting are one thing to multiprocessing, and not made for threads.
_lock = threading.Lock()


def prepare() -> None:
    """Have the server of forks import what every relay needs."""
    _FORKS.set_forkserver_preload(["tests.chaos.forked", "confluent_kafka.admin", "psycopg", "relay.service"])


class ForkedRelay:
    """One relay process: `outbox relay run` or `drain` with telemetry written to a file."""

    def __init__(self, name: str, mode: str, *, environment: Mapping[str, str], folder: Path) -> None:
        """Start it; *name* is that of its files in *folder*."""
        self.name = name
        self.mode = mode
        self.events_path = folder / f"{name}.events"
        self.output_path = folder / f"{name}.output"
        self.crash_at = environment.get("OUTBOX_TEST_CRASH_AT")
        self.killed = self.asked = self.paused = False
        self._read = 0
        self._seen: dict[str, list[dict[str, Any]]] = defaultdict(list)
        given = {**environment, "OUTBOX_TEST_EVENTS": str(self.events_path)}
        arguments = (mode, given, str(self.output_path))
        self._process = _FORKS.Process(target=_run, args=arguments, daemon=True)
        with _lock:
            self._process.start()

    @property
    def code(self) -> int | None:
        """Return how it ended: minus the number of a signal, or its exit code; None while it lives."""
        with _lock:
            return self._process.exitcode

    def send(self, number: signal.Signals) -> bool:
        """Send a signal, and return whether it still lived."""
        with _lock:
            if self._process.exitcode is not None or self._process.pid is None:
                return False
            os.kill(self._process.pid, number)
            return True

    def seen(self, event: str) -> list[dict[str, Any]]:
        """Return the events of that name that it has told of so far."""
        with _lock:
            if self.events_path.exists():
                with self.events_path.open("rb") as file:
                    file.seek(self._read)
                    *lines, _unfinished = file.read().split(b"\n")
                for line in lines:
                    self._read += len(line) + 1
                    if any(name.encode() in line for name in _LOOKED_AT):
                        told = json.loads(line)
                        self._seen[told["event"]].append(told)
            return list(self._seen[event])

    def backends(self) -> set[int]:
        """Return the PostgreSQL sessions that it has opened."""
        return {told["pid"] for told in self.seen("relay.session.opened")}

    def output(self) -> str:
        """Return what it has written to stdout and stderr."""
        return self.output_path.read_text(encoding="utf-8", errors="replace") if self.output_path.exists() else ""


def _run(mode: str, environment: dict[str, str], output: str) -> None:
    """Be a relay, in the forked process."""
    die_with_parent()
    os.setsid()
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(log, descriptor)
    faulthandler.register(signal.SIGUSR2)  # the harness asks for it when it waits in vain
    for name in [name for name in os.environ if name.startswith("OUTBOX_")]:  # noqa: TID251 - as if started with these
        del os.environ[name]  # noqa: TID251
    os.environ.update(environment)  # noqa: TID251
    sys.argv = ["relay", mode]
    sys.exit(main())
