"""The contestants: each a process that a bench starts, stops and kills, and the outbox that it publishes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bench.peers import debezium, environment, outboxes
from bench.programs import inherited
from devstack.processes import Command, GuardedProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.peers.connect import ConnectWorker
    from bench.peers.outboxes import Outbox
    from devstack import Stack

_HERE = Path(__file__).parent


class Contestant(Protocol):
    """What a bench asks of a contestant."""

    @property
    def outbox(self) -> Outbox:
        """Return what it publishes."""

    @property
    def pid(self) -> int:
        """Return the process that does it."""

    def begin(self) -> None:
        """Let it publish."""

    def rest(self) -> None:
        """Let it publish no more, in order."""

    def restart(self, number: signal.Signals) -> None:
        """End its process by a signal and start it again at once, as who watches over it would."""


class Program:
    """A contestant that is one process, and rests by not running."""

    def __init__(
        self, outbox: Outbox, words: Sequence[str], *, log: Path, settings: Mapping[str, str] | None = None
    ) -> None:
        """Prepare the program that *words* start, over our environment with *settings*."""
        self.outbox = outbox
        self._command = Command(words[1], words, log, environment=inherited(settings))
        self._process: GuardedProcess | None = None

    @property
    def pid(self) -> int:
        """Return its process id."""
        assert self._process is not None, "it was not started"  # noqa: S101  a caller's mistake
        return self._process.pid

    def begin(self) -> None:
        """Start it."""
        self._process = GuardedProcess(self._command)

    def rest(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def restart(self, number: signal.Signals) -> None:
        """End it by a signal and start it again."""
        self._end(number)
        self.begin()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end(number, timeout_seconds=30)


class Debezium:
    """A connector on a worker; it rests by having no task, so that the JVM stays warm."""

    def __init__(self, worker: ConnectWorker, database_url: str, *, tuned: bool) -> None:
        """Put a connector on *worker*; it publishes at once."""
        self.outbox = outboxes.DEBEZIUM if tuned else outboxes.DEBEZIUM_DEFAULT
        self._worker = worker
        self._name = self.outbox.table.removesuffix("_outbox")
        worker.put(self._name, debezium.connector(database_url, name=self._name, tuned=tuned))

    @property
    def pid(self) -> int:
        """Return the process of the worker."""
        return self._worker.pid

    def begin(self) -> None:
        """Start the task."""
        self._worker.resume(self._name)

    def rest(self) -> None:
        """Stop the task."""
        self._worker.stop(self._name)

    def restart(self, number: signal.Signals) -> None:
        """End the worker by a signal and start it again."""
        self._worker.end(number)
        self._worker.spawn()


def relay(servers: Stack) -> Program:
    """Return our relay as it comes."""
    words = (sys.executable, "-m", "console", "relay", "run")
    return Program(outboxes.RELAY, words, log=servers.folder / "relay.log", settings=servers.environment())


def usual(servers: Stack, *, rows: int) -> Program:
    """Return the usual relay with pages of *rows*."""
    script = str(_HERE / "usual_process.py")
    words = (sys.executable, script, servers.database_url, servers.kafka_bootstrap, str(rows))
    return Program(outboxes.USUAL, words, log=servers.folder / "usual.log")


def faststream(servers: Stack) -> Program:
    """Return faststream-outbox; its table is made."""
    script = str(_HERE / "faststream_process.py")
    words = (str(environment.python()), script, servers.database_url, servers.kafka_bootstrap)
    subprocess.run((*words, "create"), check=True)
    return Program(outboxes.FASTSTREAM, words, log=servers.folder / "faststream.log")
