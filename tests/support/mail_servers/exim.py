"""Exim of the system's packages, under a daemon of its own."""

import shutil
from pathlib import Path

from devstack.processes import free_port
from devstack.sink.process import listens
from tests.support.mail_servers import MAILBOXES, PASSWORD, TLS, USER, Service, filled, program
from tests.support.mail_servers.daemon import Daemon

EXIM_USER = "Debian-exim"


class Exim(Daemon):
    """One daemon, and the processes that it starts for each message."""

    name = "Exim"
    log_file = "log/mainlog"

    def __init__(self, folder: Path) -> None:
        """Prepare it in *folder*, which other users may pass through."""
        super().__init__(folder)
        self.ports = {service: free_port() for service in Service}

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
        self._run(arguments, says="start.log", ready=lambda: listens(self.ports[Service.PLAIN]))
