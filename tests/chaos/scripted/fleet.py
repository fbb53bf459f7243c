"""The mailer's processes under fire: each is started again whenever it ends, unless it is held back."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.chaos.journal import Journal
from tests.chaos.scripted.owners import members, owner

_VERBS = {"worker": "work", "consumer": "consume", "sweeper": "sweep"}
_REVIVES_EVERY_SECONDS = 0.1
# With this a process ends that is started while a server is away; whoever keeps it starts it again.
_NOTHING_THERE, _LAST_WORDS = (1, 2), 600
_CHILDREN_FIRST_SECONDS = 1.0
_ENDS_WITHIN_SECONDS = 20.0
# A process that ends by itself so often will not heal.
_MOST_ENDS = 5


class Fleet:
    """Processes by name: `worker-1`, `consumer-1`, … What was done to workers is in `incidents`, by worker's name."""

    def __init__(self, names: list[str], *, environment: Mapping[str, str], folder: Path, journal: Journal) -> None:
        """Start nothing yet."""
        self._names = names
        self._environment = dict(environment)
        self._folder = folder
        self._journal = journal
        self._lock = threading.RLock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._held: set[str] = set()
        self._ended_by_us: set[int] = set()
        self._stop = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="fleet")
        self._ends = 0
        self._asked: list[tuple[float, list[str]]] = []
        self.gave_up = threading.Event()
        self.incidents: Counter[str] = Counter()

    def __enter__(self) -> Self:
        """Start everything."""
        with self._lock:
            for name in self._names:
                self._start(name)
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self._stop.set()
        self._keeper.join()
        for process in self._processes.values():
            self._signal(process, signal.SIGKILL)
            process.wait()

    def kinds(self, kind: str) -> list[str]:
        """Return the names of the processes of one *kind*."""
        return [name for name in self._names if name.startswith(kind)]

    def kill_owner(self, port: int, *, alone: bool) -> None:
        """Kill the worker that has the connection with that local *port*: its process *alone*, or all of it."""
        with self._lock:
            if (found := self._owning(port)) is None:
                return
            name, process = found
            if not alone:
                self.kill(name)
                return
            self.incidents[f"{socket.gethostname()}:{process}"] += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def pause_owner(self, port: int) -> subprocess.Popen[bytes] | None:
        """Stop the worker that has the connection with that local *port* where it is; it is resumed later."""
        with self._lock:
            found = self._owning(port)
            return None if found is None else self._pause(found[0])

    def _owning(self, port: int) -> tuple[str, int] | None:
        groups = {self._processes[name].pid: name for name in self.kinds("worker")}
        found = owner(port, groups)
        return None if found is None else (groups[found[0]], found[1])

    def kill(self, name: str) -> None:
        """Kill a process and its children at once."""
        with self._lock:
            process = self._processes[name]
            self._note_incident(name, process)
            self._ended_by_us.add(process.pid)
            self._signal(process, signal.SIGKILL)
            process.wait()

    def _pause(self, name: str) -> subprocess.Popen[bytes]:
        process = self._processes[name]
        self._note_incident(name, process)
        self._signal(process, signal.SIGSTOP)
        return process

    def resume(self, process: subprocess.Popen[bytes]) -> None:
        """Let a paused process and its children go on, unless it was killed meanwhile.

        The children first: their parent ends those whose time is over, and the point is what they do before.
        """
        with self._lock:
            if process.poll() is None:
                for child in members(process.pid):
                    if child != process.pid:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(child, signal.SIGCONT)
        self._stop.wait(_CHILDREN_FIRST_SECONDS)
        with self._lock:
            if process.poll() is None:
                self._signal(process, signal.SIGCONT)

    def terminate(self, name: str, *, hold: bool = False) -> subprocess.Popen[bytes]:
        """Ask a process to end; with *hold* it is not started again before `release`."""
        with self._lock:
            process = self._processes[name]
            self._ended_by_us.add(process.pid)
            if name.startswith("worker"):
                self._asked.append(
                    (time.monotonic(), [f"{socket.gethostname()}:{pid}" for pid in members(process.pid)])
                )
            if hold:
                self._held.add(name)
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            return process

    def broker_was_lost(self) -> None:
        """Note that workers that end just now may be lost: Celery kills what is at work when its broker goes away."""
        for since, workers in self._asked:
            if time.monotonic() - since < _ENDS_WITHIN_SECONDS:
                self.incidents.update(workers)

    def release(self, name: str) -> None:
        """Have a process started again that was held back."""
        with self._lock:
            self._held.discard(name)

    def stop(self) -> dict[str, int]:
        """Ask everything to end and return the exit codes."""
        self._stop.set()
        self._keeper.join()
        for process in self._processes.values():
            process.terminate()
        codes = {}
        for name, process in self._processes.items():
            try:
                codes[name] = process.wait(60)
            except subprocess.TimeoutExpired:
                codes[name] = 999
        return codes

    def _note_incident(self, name: str, process: subprocess.Popen[bytes]) -> None:
        if name.startswith("worker"):
            self.incidents.update(f"{socket.gethostname()}:{pid}" for pid in members(process.pid))

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    def _keep(self) -> None:
        while not self._stop.wait(_REVIVES_EVERY_SECONDS):
            with self._lock:
                for name, process in list(self._processes.items()):
                    if process.poll() is not None and name not in self._held:
                        if process.pid not in self._ended_by_us:
                            self._accuse(name, process.returncode)
                        self._signal(process, signal.SIGKILL)  # a child that outlived its parent
                        self._start(name)

    def _accuse(self, name: str, code: int) -> None:
        said = (self._folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-_LAST_WORDS:]
        if code in _NOTHING_THERE and any(
            words in said for words in ("cannot connect to PostgreSQL", "cannot reach Kafka")
        ):
            self._journal.count(f"{name} found a server away when it started")
            return
        self._ends += 1
        self._journal.accuse(f"{name} ended by itself with {code}")
        if self._ends == _MOST_ENDS:
            self.gave_up.set()

    def _start(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "console", "mailer", _VERBS[name.partition("-")[0]]],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
