"""Servers as child processes: each under a guard that ends it when we die, with its output in a log file."""

import contextlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import NoFreePortError, ServerFailedError

GUARD = Path(__file__).with_name("guard.py")


# Servers get ports from here, below those that the kernel gives to outgoing connections (Linux: from 32768): a server
# that is stopped would find its port taken by one of them now and then when it starts again.
SERVER_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on at this moment."""
    for port in random.SystemRandom().sample(SERVER_PORTS, 200):  # not the seeded one: two test runs would meet
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise NoFreePortError(SERVER_PORTS.start, SERVER_PORTS.stop - 1)


@dataclass(frozen=True, slots=True)
class Command:
    """How to start a server: its name for people, its arguments, its log, and the user it runs as."""

    name: str
    arguments: Sequence[str]
    log: Path
    user: str | None = None
    environment: dict[str, str] | None = None


def run(command: Command) -> None:
    """Run *command* to its end; raise when it fails."""
    process = GuardedProcess(command)
    if code := process.wait():
        raise ServerFailedError(command.name, f"failed with exit code {code}", command.log)


class GuardedProcess:
    """One running server, and the pipe that keeps it alive."""

    def __init__(self, command: Command) -> None:
        self._command = command
        user = ["--user", command.user] if command.user else []
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARD), *user, str(command.log), *command.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=command.environment,
            start_new_session=True,  # Ctrl-C in a terminal reaches the owner, who stops the servers in their order
        )
        self.guard_pid = self._guard.pid
        self.pid = self._read_pid()

    def _read_pid(self) -> int:
        """Return the server's process id, as the guard says it."""
        assert self._guard.stdout is not None  # noqa: S101  asked for above
        line = self._guard.stdout.readline()
        if line:
            return int(line)
        assert self._guard.stderr is not None  # noqa: S101  asked for above
        problem = self._guard.stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        self.close()
        raise ServerFailedError(self._command.name, f"could not be started: {''.join(problem)}", self._command.log)

    @property
    def running(self) -> bool:
        """Say whether the server still runs."""
        return self._guard.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send the server a signal; one that has ended is left alone."""
        assert self._guard.stdin is not None  # noqa: S101  asked for at the start
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._guard.stdin.write(b"%d\n" % number)
            self._guard.stdin.flush()

    def end(self, number: signal.Signals, *, timeout_seconds: float) -> None:
        """Send *number* and wait for the end; a server that outlasts the time is killed."""
        self.send(number)
        try:
            self._guard.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self._guard.wait(5)
        self.close()

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        code = self._guard.wait()
        self.close()
        return code

    def close(self) -> None:
        """Close the pipes; a server that still runs ends by that."""
        for pipe in (self._guard.stdin, self._guard.stdout, self._guard.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._guard.wait()

    def wait_ready(self, answers: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Return once *answers* says so; raise when the server ends before, or takes longer."""
        pause, deadline = threading.Event(), time.monotonic() + timeout_seconds
        while not answers():
            if not self.running:
                problem = f"ended at start with exit code {self._guard.returncode}"
                self.close()
                raise ServerFailedError(self._command.name, problem, self._command.log)
            if time.monotonic() > deadline:
                self.end(signal.SIGKILL, timeout_seconds=5)
                raise ServerFailedError(
                    self._command.name, f"did not answer within {timeout_seconds:g} s", self._command.log
                )
            pause.wait(0.03)
