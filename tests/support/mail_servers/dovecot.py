"""Dovecot of the system's packages: mailboxes by IMAP, and for Postfix the word on who may sign in."""

import pwd
import shutil
from pathlib import Path

from devstack.processes import free_port
from devstack.sink.process import listens
from tests.support.mail_servers import PASSWORD, TLS, USER, filled, program
from tests.support.mail_servers.daemon import Daemon

_MAIL_USER = "nobody"


class Dovecot(Daemon):
    """One instance with one user, USER, whose password is PASSWORD."""

    name = "Dovecot"
    log_file = "start.log"

    def __init__(self, folder: Path) -> None:
        """Prepare it in *folder*, which other users may pass through."""
        super().__init__(folder)
        self.imap_port, self.imaps_port, self.auth_port = free_port(), free_port(), free_port()

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
        self._run(arguments, says="start.log", ready=lambda: listens(self.imaps_port) and listens(self.auth_port))
