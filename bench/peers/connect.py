"""Kafka Connect in distributed mode with exactly-once source support, as a process of its own."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx

from bench.peers import jars
from devstack.kafka import JAVA_SETTINGS, java
from devstack.processes import Command, GuardedProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# A fixed, small heap: the memory of a JVM is what one gives it.
JVM_OPTIONS = ("-Xmx512m", "-Djava.awt.headless=true", "--enable-native-access=ALL-UNNAMED")
_STRINGS = "org.apache.kafka.connect.storage.StringConverter"
WORKER = {
    "group.id": "bench-connect",
    "exactly.once.source.support": "enabled",
    "key.converter": _STRINGS,
    "value.converter": _STRINGS,
    "config.storage.topic": "bench-connect-configs",
    "offset.storage.topic": "bench-connect-offsets",
    "status.storage.topic": "bench-connect-status",
    "config.storage.replication.factor": "1",
    "offset.storage.replication.factor": "1",
    "status.storage.replication.factor": "1",
    "offset.storage.partitions": "1",
    "status.storage.partitions": "1",
    "plugin.discovery": "service_load",  # else every start reads every class of the class path
    # A killed worker is missed after the session's timeout, of which the broker takes no less than 6 s, and what it ran
    # is given away after the delay, by default 5 minutes: both as short as they can be.
    "session.timeout.ms": "6000",
    "heartbeat.interval.ms": "1000",
    "scheduled.rebalance.max.delay.ms": "0",
}


class ConnectWorker:
    """One worker; a connector that was put on it is still there after a stop or a kill."""

    def __init__(self, folder: Path, bootstrap: str) -> None:
        """Prepare a worker for the broker at *bootstrap*, with its files in *folder*."""
        self._log = folder / "connect.log"
        self._settings = folder / "connect.properties"
        self._url = f"http://127.0.0.1:{free_port()}"
        self._classpath = jars.classpath()
        self._process: GuardedProcess | None = None
        own = {**WORKER, "bootstrap.servers": bootstrap, "listeners": self._url}
        self._settings.write_text("".join(f"{name}={value}\n" for name, value in own.items()), encoding="utf-8")

    @property
    def pid(self) -> int:
        """Return its process id."""
        assert self._process is not None, "the worker was not started"  # noqa: S101  a caller's mistake
        return self._process.pid

    def start(self) -> None:
        """Start it, and return once it answers."""
        self.spawn()
        assert self._process is not None  # noqa: S101  just made
        self._process.wait_ready(self._answers, timeout_seconds=90)

    def spawn(self) -> None:
        """Start it without waiting."""
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        words = (str(java()), *JVM_OPTIONS, "-cp", self._classpath, main, str(self._settings))
        environment = {k: v for k, v in os.environ.items() if k not in JAVA_SETTINGS}  # noqa: TID251  a child inherits ours
        self._process = GuardedProcess(Command("Kafka Connect", words, self._log, environment=environment))

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it with a signal: in order, or killed."""
        process, self._process = self._process, None
        if process is not None:
            process.end(number, timeout_seconds=60)

    def put(self, connector: str, configuration: Mapping[str, str]) -> None:
        """Create or change *connector*, and return once its task runs."""
        self._request("PUT", f"/connectors/{connector}/config", dict(configuration))
        self._await_tasks(connector, "RUNNING", count=1)

    def stop(self, connector: str) -> None:
        """Stop a connector's task; its position and its slot stay."""
        self._request("PUT", f"/connectors/{connector}/stop")
        self._await_tasks(connector, "STOPPED", count=0)

    def resume(self, connector: str) -> None:
        """Start the task again, without waiting for it."""
        self._request("PUT", f"/connectors/{connector}/resume")

    def delete(self, connector: str) -> None:
        """Delete a connector; its slot stays."""
        self._request("DELETE", f"/connectors/{connector}")

    def _await_tasks(self, connector: str, state: str, *, count: int) -> None:
        pause, deadline = threading.Event(), time.monotonic() + 60
        found: Any = None
        while time.monotonic() < deadline:
            answer = httpx.get(f"{self._url}/connectors/{connector}/status")
            found = answer.json()
            if answer.is_success and found["connector"]["state"] == state and len(found["tasks"]) == count:
                if all(task["state"] == state for task in found["tasks"]):
                    return
                if any(task["state"] == "FAILED" for task in found["tasks"]):
                    break
            pause.wait(0.1)
        raise RuntimeError(f"expected {connector} to be {state} with {count} tasks, got {found}")

    def _request(self, method: str, path: str, body: object = None) -> None:
        """Send a request; a worker that is just balancing (409) is asked again."""
        pause, deadline = threading.Event(), time.monotonic() + 60
        while True:
            answer = httpx.request(method, self._url + path, json=body, timeout=60)
            if answer.status_code != httpx.codes.CONFLICT or time.monotonic() > deadline:
                break
            pause.wait(0.2)
        if not answer.is_success:
            raise RuntimeError(f"expected {method} {path} to succeed, got {answer.status_code}: {answer.text}")

    def _answers(self) -> bool:
        """Say whether it is a member of its group and serves requests."""
        try:
            return httpx.get(f"{self._url}/connectors", timeout=2).is_success
        except httpx.HTTPError:
            return False
