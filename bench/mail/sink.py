"""The sink of the mail benches, started and asked."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import BufferedRWPair

_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the sink took: how many, over how many connections, first and last when, and the marked ones one by one."""

    accepted: int
    connections: int
    first: float
    last: float
    marked: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Sink:
    """A running sink."""

    port: int
    pid: int
    _questions: BufferedRWPair

    @property
    def dsn(self) -> str:
        """Return its address for a mail transport."""
        return f"smtp://127.0.0.1:{self.port}"

    def begin(self) -> None:
        """Have it forget what it took."""
        self._ask("begin")

    def report(self) -> Accepted:
        """Return what it took since."""
        return self._ask("report")

    def wait(self, count: int, *, quiet_seconds: float = 20.0) -> Accepted:
        """Return what it took once that is *count*; raise RuntimeError when no mail comes for *quiet_seconds*."""
        pause, seen, since = threading.Event(), 0, time.monotonic()
        while (found := self.report()).accepted < count:
            if found.accepted != seen:
                seen, since = found.accepted, time.monotonic()
            elif time.monotonic() - since > quiet_seconds:
                raise RuntimeError(f"expected {count} mails to be accepted, got {seen}")
            pause.wait(_LOOK_SECONDS)
        return found

    def _ask(self, question: str) -> Accepted:
        self._questions.write(f"{question}\n".encode())
        self._questions.flush()
        return Accepted(**json.loads(self._questions.readline()))


@contextmanager
def sink(*, delay: float = 0.0) -> Iterator[Sink]:
    """Give a sink whose every reply takes *delay* seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.mail.sink_process", str(delay)], stdout=subprocess.PIPE, cwd=REPOSITORY
    )
    try:
        assert process.stdout is not None  # noqa: S101  it is a pipe
        mail, questions = map(int, process.stdout.readline().split())
        with socket.create_connection(("127.0.0.1", questions)) as connection, connection.makefile("rwb") as file:
            yield Sink(mail, process.pid, file)
    finally:
        process.terminate()
        process.communicate(timeout=10)
