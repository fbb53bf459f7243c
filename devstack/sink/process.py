"""The sink as a process of its own, for the demo and `outbox dev up`."""

import contextlib
import signal
import socket
import sys
from pathlib import Path

from devstack.processes import Command, GuardedProcess, free_port


class SinkProcess:
    """A running `python -m devstack.sink`; its mails are read over HTTP."""

    def __init__(self, folder: Path) -> None:
        """Start the sink with its log in *folder*."""
        self.port, self.http_port = free_port(), free_port()
        self.log = folder / "sink.log"
        ports = (f"--smtp-port={self.port}", f"--http-port={self.http_port}")
        arguments = (sys.executable, "-m", "devstack.sink", *ports)
        self._process = GuardedProcess(Command("the SMTP sink", arguments, self.log))
        self._process.wait_ready(self._answers, timeout_seconds=30)

    @property
    def dsn(self) -> str:
        """Return the address for a mail transport."""
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def http_url(self) -> str:
        """Return the address of the pages."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def running(self) -> bool:
        """Say whether it runs."""
        return self._process.running

    def close(self) -> None:
        """Stop it; its mails are gone."""
        self._process.end(signal.SIGTERM, timeout_seconds=10)

    def _answers(self) -> bool:
        return all(listens(port) for port in (self.port, self.http_port))


def listens(port: int) -> bool:
    """Say whether somebody takes connections at *port* of 127.0.0.1."""
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False
