"""The processes under fire: two relays, a worker, a consumer and a sweeper, each restarted whenever it was killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil
import psycopg

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from devstack import Stack

COMMANDS = {
    "relay": ("relay", "run"),
    "relay-standby": ("relay", "run"),
    "consumer": ("mailer", "consume"),
    "worker": ("mailer", "work"),
    "sweeper": ("mailer", "sweep"),
}


class Fleet:
    """Every process by name; `kills` counts what was killed."""

    def __init__(
        self,
        servers: Stack,
        *,
        logs: Path,
        environment: Mapping[str, str],
        commands: Mapping[str, tuple[str, ...]] = COMMANDS,
    ) -> None:
        """Prepare the settings, to which *environment* adds; nothing runs before the block is entered."""
        self._servers = servers
        self._commands = commands
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.kills: Counter[str] = Counter()
        self._environment = {
            "OUTBOX_MAIL_BACKOFF_BASE_SECONDS": "1",
            "OUTBOX_MAIL_BACKOFF_CAP_SECONDS": "2",
            "OUTBOX_MAIL_LEASE_SECONDS": "10",
            **environment,
            **servers.environment(),
        }

    def __enter__(self) -> Self:
        """Start everything."""
        for name in self._commands:
            self._start(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything, killing what does not stop by itself."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                self._kill_group(process)

    def kill_at_random(
        self, chance: random.Random, *, seconds: float, kills: int, has_events: Callable[[], bool]
    ) -> None:
        """Kill the publishing relay and the worker *kills* times each, at moments of *chance* over *seconds*."""
        wait_until(has_events, timeout_seconds=60, what="the writers to commit")
        schedule = sorted((chance.uniform(0, seconds), target) for target in ("relay", "worker") for _ in range(kills))
        started = time.monotonic()
        for at, target in [*schedule, (seconds, "end")]:
            wait_until(partial(_reached, started + at), timeout_seconds=seconds + 60, what="the next kill")
            self.revive()
            if target != "end":
                self._kill(self._publishing_relay() if target == "relay" else "worker", counted_as=target)

    def kill(self, name: str) -> None:
        """Kill *name* with every process of its own, wait until the last is gone, and start it again."""
        group = _group(self._processes[name].pid)
        self._kill(name, counted_as=name)
        wait_until(lambda: not any(map(_lives, group)), timeout_seconds=30, what=f"the end of {group} of {name}")

    def named(self, pid: int) -> str | None:
        """Return the name of what process *pid* belongs to; nothing for one that has ended, or is none of ours."""
        with contextlib.suppress(ProcessLookupError):
            group = os.getpgid(pid)
            return next((name for name, process in self._processes.items() if process.pid == group), None)
        return None

    def _publishing_relay(self) -> str:
        """Return the name of the relay process that holds the lease, or the first one when nobody does."""
        with psycopg.connect(self._servers.database_url, autocommit=True) as connection:
            rows = connection.execute(
                "select a.client_port from pg_locks l join pg_stat_activity a using (pid)"
                " where l.locktype = 'advisory' and l.granted and a.application_name like '%relay%'"
            ).fetchall()
        ports = {row[0] for row in rows}
        for name in ("relay", "relay-standby"):
            if ports & _local_ports(self._processes[name].pid):
                return name
        return "relay"

    def _kill(self, name: str, *, counted_as: str) -> None:
        self._kill_group(self._processes[name])
        self.kills[counted_as] += 1
        self._start(name)

    @staticmethod
    def _kill_group(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def revive(self) -> None:
        """Start again what ended by itself, and count it."""
        for name, process in list(self._processes.items()):
            if process.poll() is not None:
                self.kills[f"{name} ended by itself with {process.returncode}"] += 1
                self._start(name)

    def _start(self, name: str) -> None:
        with (self._logs / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "console", *self._commands[name]],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _group(leader: int) -> list[psutil.Process]:
    """Return process *leader* and all that it has started."""
    process = psutil.Process(leader)
    return [process, *process.children(recursive=True)]


def _lives(process: psutil.Process) -> bool:
    """Return whether *process* does anything any more: whose parent died before it may stay a zombie."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _reached(moment: float) -> bool:
    """Return whether *moment* of the monotonic clock has come."""
    return time.monotonic() >= moment


def _local_ports(pid: int) -> set[int]:
    """Return the local TCP ports of process *pid*, from /proc."""
    inodes = set()
    with contextlib.suppress(FileNotFoundError):
        for descriptor in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                target = str(Path(descriptor.path).readlink())
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    ports = set()
    with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123 - not a file to resolve
        for line in list(table)[1:]:
            fields = line.split()
            if fields[9] in inodes:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports
