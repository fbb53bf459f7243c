"""Dovecot of the system's packages: mailboxes by IMAP, and for Postfix the word on who may sign in."""

import pwd
import shutil
import signal
from pathlib import Path

from devstack.processes import Command, GuardedProcess, free_port
from devstack.sink.process import listens
from tests.support.mail_servers import PASSWORD, TLS, USER, filled, program

_START_SECONDS = 60
_MAIL_USER = "nobody"


class Dovecot:
    """One instance with one user, USER, whose password is PASSWORD."""

    def __init__(self, folder: Path) -> None:
        """Prepare it in *folder*, which other users may pass through."""
        self.imap_port, self.imaps_port, self.auth_port = free_port(), free_port(), free_port()
        self._folder = folder / "dovecot"
        self._process: GuardedProcess | None = None

    @property
    def maildir(self) -> Path:
        """Return the user's inbox; a folder F is the maildir `.F` in it."""
        return self._folder / "mail" / USER

    def start(self) -> None:
        """Start it."""
        user = pwd.getpwnam(_MAIL_USER)
        for name in ("run", "mail"):
            (self._folder / name).mkdir(parents=True)
        shutil.chown(self._folder / "mail", _MAIL_USER)
        for name in ("localhost.pem", "localhost-key.pem"):
            shutil.copy(TLS / name, self._folder)
        ports = {"imap": self.imap_port, "imaps": self.imaps_port, "auth": self.auth_port}
        configuration = filled("dovecot.conf", folder=self._folder, uid=user.pw_uid, gid=user.pw_gid, **ports)
        (self._folder / "conf").write_text(configuration, encoding="utf-8")
        (self._folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}::::::\n", encoding="utf-8")
        arguments = (program("dovecot") or "dovecot", "-F", "-c", str(self._folder / "conf"))
        self._process = GuardedProcess(Command("Dovecot", arguments, self._folder / "start.log"))
        self._process.wait_ready(
            lambda: listens(self.imaps_port) and listens(self.auth_port), timeout_seconds=_START_SECONDS
        )

    def close(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.end(signal.SIGTERM, timeout_seconds=20)
