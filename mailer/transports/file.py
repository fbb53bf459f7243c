"""Writes messages into a maildir: for tests on one machine, for drops that another program collects, and to look at.

A message is written and synced under `tmp/`, then renamed into `new/`: a reader sees all of it or nothing. The file is
named after the Message-ID, so a message that is sent again before it was read replaces itself.
"""

import errno
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import get_ident

from mailer.reply import OutgoingMessage, Phase, Reply, accepted, refused
from mailer.transports.dsn import Dsn

_FOLDERS = ("tmp", "new", "cur")
_CAUSES = {
    errno.ENOSPC: "no space left on the disk of",
    errno.EDQUOT: "the quota is used up in",
    errno.EACCES: "not allowed to write in",
    errno.EPERM: "not allowed to write in",
    errno.EROFS: "read-only file system under",
    errno.ENOENT: "no such folder:",
    errno.ENOTDIR: "not a directory:",
    errno.EEXIST: "not a directory:",
}


class FileTransport:
    """The transport of `file:///maildir`."""

    def __init__(self, dsn: Dsn) -> None:
        """Take an absolute path; the folder is made when the first message is sent."""
        dsn.only()
        if dsn.host or not dsn.path.startswith("/") or dsn.path == "/":
            dsn.refuse("expected an absolute path", fix="write file:///var/spool/outbox, with three slashes")
        self.name = dsn.name
        self._folder = Path(dsn.path)

    @property
    def children(self) -> "tuple[FileTransport, ...]":
        """Return this one alone."""
        return (self,)

    def send(self, message: OutgoingMessage) -> Reply:
        """Return acceptance once the message is on the disk; what the disk refuses is an outage of this transport."""
        try:
            self._write(message)
        except OSError as error:
            cause = _CAUSES.get(error.errno or 0, f"{errno.errorcode.get(error.errno or 0, 'an error')} in")
            # 4.3.0, "other mail system status": the fault is ours, not the recipient's, and may pass.
            text = f"4.3.0 {cause} {self._folder}"
            return refused(self.name, Phase.CONNECT, code=None, text=text, recipient=message.recipient)
        return accepted(self.name, text="written", recipient=message.recipient)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _write(self, message: OutgoingMessage) -> None:
        for folder in (self._folder, *(self._folder / inner for inner in _FOLDERS)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{sha256(message.message_id.encode()).hexdigest()[:32]}.outbox"
        written = self._temporary(name)
        try:
            with written.open("wb") as file:
                # A maildir's lines end as files' lines do here.
                file.write(message.content.replace(b"\r\n", b"\n"))
                file.flush()
                os.fsync(file.fileno())
            written.replace(self._folder / "new" / name)
        except OSError:
            with suppress(OSError):
                written.unlink(missing_ok=True)
            raise
        self._sync_folder()

    def _temporary(self, name: str) -> Path:
        """Return a file of this thread's own."""
        return self._folder / "tmp" / f"{name}.{os.getpid()}.{get_ident()}"

    def _sync_folder(self) -> None:
        """Make the new name itself durable."""
        folder = os.open(self._folder / "new", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
