"""What the servers of the system's packages have in common: a folder, a log, and one process that starts the others."""

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from devstack.processes import Command, GuardedProcess
from tests.support.mail_servers import read_maildirs

_START_SECONDS = 60
_STOP_SECONDS = 20


class Daemon:
    """A server in the folder of its *name* in *folder*, which other users may pass through."""

    name: ClassVar[str]
    log_file: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        """Prepare it; nothing is started."""
        self._folder = folder / self.name.lower()
        self._process: GuardedProcess | None = None

    @property
    def log(self) -> str:
        """Return what it wrote down."""
        path = self._folder / self.log_file
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def delivered(self) -> list[bytes]:
        """Return the mails that arrived."""
        return read_maildirs(self._folder / "mail")

    def close(self) -> None:
        """End it, and everything that it started."""
        process, self._process = self._process, None
        if process is not None:
            process.end(signal.SIGTERM, timeout_seconds=_STOP_SECONDS)

    def _run(self, arguments: Sequence[str], *, says: str, ready: Callable[[], bool]) -> None:
        """Start the program of *arguments*, whose own output goes to the file *says*, and wait until it is *ready*."""
        self._process = GuardedProcess(Command(self.name, arguments, self._folder / says))
        self._process.wait_ready(ready, timeout_seconds=_START_SECONDS)
