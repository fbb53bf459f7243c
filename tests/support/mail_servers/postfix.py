"""Postfix of the system's packages, under a `master` of its own."""

import grp
import pwd
import shutil
import subprocess
from enum import StrEnum
from pathlib import Path

from devstack.processes import free_port
from devstack.sink.process import listens
from tests.support.mail_servers import (
    BAD_SUBJECT,
    BANNED,
    DOMAIN,
    FULL,
    GREY,
    MAILBOXES,
    TLS,
    Service,
    filled,
    program,
)
from tests.support.mail_servers.daemon import Daemon

_QUEUE = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "maildrop"),
    *("public", "pid", "saved", "trace"),
)
_MAIL_USER = "nobody"


class Extra(StrEnum):
    """Services that only Postfix has."""

    MAILS_A_MINUTE = "mails_a_minute"  # one a client
    RECIPIENTS_A_MINUTE = "recipients_a_minute"
    CONNECTIONS_A_MINUTE = "connections_a_minute"
    NO_ROOM = "no_room"  # its queue's disk is full
    REFUSING = "refusing"  # knows nobody
    NARROW = "narrow"  # announces more bytes than its queue takes


class Postfix(Daemon):
    """One instance. *auth_port* is where Dovecot tells it who may sign in; without, nobody is asked."""

    name = "Postfix"
    log_file = "log/maillog"

    def __init__(self, folder: Path, *, auth_port: int | None) -> None:
        """Prepare it in *folder*, which other users may pass through."""
        super().__init__(folder)
        self.ports = {service: free_port() for service in Service}
        self.extra_ports = {service: free_port() for service in Extra}
        self._auth_port = auth_port

    @property
    def connections(self) -> int:
        """Return how many connections there were."""
        return self.log.count(": connect from ")

    def start(self) -> None:
        """Start it."""
        self._lay_out()
        self._configure()
        arguments = (f"{_asked('daemon_directory')}/master", "-c", str(self._folder / "etc"), "-d")
        self._run(arguments, says="log/master", ready=lambda: listens(self.ports[Service.PLAIN]))

    def _lay_out(self) -> None:
        """Make the folders, with the owners that `postfix set-permissions` would give them."""
        for name in ("etc", "log", "data", "mail", "queue"):
            (self._folder / name).mkdir(parents=True)
        for name in _QUEUE:
            (self._folder / "queue" / name).mkdir()
            if name != "pid":
                shutil.chown(self._folder / "queue" / name, "postfix")
        for name, mode in (("maildrop", 0o730), ("public", 0o710)):
            shutil.chown(self._folder / "queue" / name, group="postdrop")
            (self._folder / "queue" / name).chmod(mode)
        shutil.chown(self._folder / "data", "postfix")
        shutil.chown(self._folder / "mail", _MAIL_USER)
        for name in ("localhost.pem", "localhost-key.pem", "elsewhere.pem", "elsewhere-key.pem"):
            shutil.copy(TLS / name, self._folder)

    def _configure(self) -> None:
        user = pwd.getpwnam(_MAIL_USER)
        main = filled(
            "postfix_main.cf",
            folder=self._folder,
            daemons=_asked("daemon_directory"),
            libraries=_asked("shlib_directory"),
            uid=user.pw_uid,
            gid=grp.getgrgid(user.pw_gid).gr_gid,
            auth=self._auth_port or 0,
        )
        ports = {str(name): port for name, port in (*self.ports.items(), *self.extra_ports.items())}
        sasl = "no" if self._auth_port is None else "yes"
        tables = {
            "main.cf": main,
            "master.cf": filled("postfix_master.cf", folder=self._folder, sasl=sasl, **ports),
            "mailboxes": "".join(f"{name}@{DOMAIN} {name}/\n" for name in MAILBOXES) + "@gone.example gone/\n",
            "senders": f"{BANNED} 550 5.7.1 {BANNED}: Sender address rejected: not allowed here\n",
            "recipients": f"{GREY} 450 4.2.0 Greylisted, see the documentation\n{FULL} 452 4.2.2 Mailbox full\n",
            "headers": f"/^{BAD_SUBJECT}/ REJECT no advertisements\n",
            # Taken, and then they come back, or are late.
            "transports": "gone.example gone:\n"
            f"late@{DOMAIN} smtp:[127.0.0.1]:{free_port()}\n"
            f"refused@{DOMAIN} smtp:[127.0.0.1]:{self.extra_ports[Extra.REFUSING]}\n",
        }
        for name, text in tables.items():
            (self._folder / "etc" / name).write_text(text, encoding="utf-8")


def _asked(parameter: str) -> str:
    """Return what the installed Postfix has for *parameter* by itself."""
    command = (program("postconf") or "postconf", "-dh", parameter)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
