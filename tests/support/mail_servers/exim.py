"""Exim of the system's packages, under a daemon of its own."""

import shutil
import signal
from pathlib import Path

from devstack.processes import Command, GuardedProcess, free_port
from devstack.sink.process import listens
from tests.support.mail_servers import MAILBOXES, PASSWORD, TLS, USER, Service, filled, program, read_maildirs

_START_SECONDS = 60
EXIM_USER = "Debian-exim"


class Exim:
    """One daemon, and the processes that it starts for each message."""

    def __init__(self, folder: Path) -> None:
        """Prepare it in *folder*, which other users may pass through."""
        self.ports = {service: free_port() for service in Service}
        self._folder = folder / "exim"
        self._process: GuardedProcess | None = None

    @property
    def log(self) -> str:
        """Return what it wrote down."""
        path = self._folder / "log" / "mainlog"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    @property
    def connections(self) -> int:
        """Return how many connections there were."""
        return self.log.count("(TCP/IP connection count = ")

    def start(self) -> None:
        """Start it."""
        for name in ("spool", "log", "mail"):
            (self._folder / name).mkdir(parents=True)
            shutil.chown(self._folder / name, EXIM_USER)
        for name in ("localhost.pem", "localhost-key.pem", "elsewhere.pem", "elsewhere-key.pem"):
            shutil.copy(TLS / name, self._folder)
        ports = {str(name): port for name, port in self.ports.items()}
        listening = " : ".join(map(str, self.ports.values()))
        path = program("exim4") or "exim4"
        facts = {"user": USER, "password": PASSWORD, "program": path, "listening": listening, "nothing": free_port()}
        text = filled("exim.conf", folder=self._folder, **facts, **ports)
        (self._folder / "conf").write_text(text, encoding="utf-8")
        (self._folder / "mailboxes").write_text("".join(f"{name}: {name}\n" for name in MAILBOXES), encoding="utf-8")
        arguments = (path, "-C", str(self._folder / "conf"), "-bdf", "-q1s")
        self._process = GuardedProcess(Command("Exim", arguments, self._folder / "start.log"))
        self._process.wait_ready(lambda: listens(self.ports[Service.PLAIN]), timeout_seconds=_START_SECONDS)

    def delivered(self) -> list[bytes]:
        """Return the mails that arrived."""
        return read_maildirs(self._folder / "mail")

    def close(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.end(signal.SIGTERM, timeout_seconds=20)
