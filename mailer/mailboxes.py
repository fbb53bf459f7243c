"""Where notifications arrive: a maildir, or a folder on an IMAP server. What was understood is put aside as read.

What nobody understood stays, flagged, for a person: a mailbox for bounces also gets answers of people. Reading again is
harmless.
"""

import base64
import contextlib
import imaplib
import mailbox
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from mailer.errors import MailboxError

_TIMEOUT_SECONDS = 30
_SEEN = "S"
_FLAGGED = "F"
_PORTS = {"imaps": 993, "imap": 143}
_NOT_ASCII = re.compile("[^ -~]+")


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message that was not looked at before, by the name that its mailbox gives it."""

    name: str
    content: bytes


class Mailbox(Protocol):
    """What is read."""

    def unread(self) -> Iterator[Arrived]:
        """Yield each message that was not put aside yet."""
        ...

    def put_aside(self, arrived: Arrived, *, understood: bool) -> None:
        """Mark a message as read, and flag it for a person when it was not *understood*."""
        ...


@contextlib.contextmanager
def open_mailbox(source: str, *, ca_file: str | None = None) -> Iterator[Mailbox]:
    """Yield the maildir at the path *source*, or the folder that `imaps://user:password@host/folder` names.

    `imap://` is the same by STARTTLS; nothing is said in the clear.
    Raise MailboxError, which shows no password, when there is none.
    """
    if "://" not in source:
        yield _Maildir(Path(source))
        return
    with _Imap.opened(source, ca_file) as imap:
        yield imap


class _Maildir:
    def __init__(self, path: Path) -> None:
        if not (path / "new").is_dir():
            raise MailboxError(str(path), "expected a maildir, with folders new, cur and tmp")
        self._maildir = mailbox.Maildir(path, create=False)

    def unread(self) -> Iterator[Arrived]:
        for name in sorted(self._maildir.keys()):
            with contextlib.suppress(KeyError):  # somebody else took it meanwhile
                if _SEEN not in self._maildir.get_message(name).get_flags():
                    yield Arrived(name, self._maildir.get_bytes(name))

    def put_aside(self, arrived: Arrived, *, understood: bool) -> None:
        message = self._maildir.get_message(arrived.name)
        message.set_subdir("cur")
        message.add_flag(_SEEN if understood else _SEEN + _FLAGGED)
        self._maildir[arrived.name] = message


class _Imap:
    def __init__(self, connection: imaplib.IMAP4) -> None:
        self._connection = connection

    @classmethod
    @contextlib.contextmanager
    def opened(cls, source: str, ca_file: str | None) -> Iterator["_Imap"]:
        parts = urlsplit(source)
        shown = f"{parts.scheme}://{parts.hostname}"
        if parts.scheme not in _PORTS or not (parts.hostname and parts.username and parts.password):
            raise MailboxError(f"{parts.scheme}://…", "expected a path, or imaps://user:password@host/folder")
        user, password = unquote(parts.username), unquote(parts.password)
        folder = unquote(parts.path.strip("/")) or "INBOX"
        try:
            port = parts.port or _PORTS[parts.scheme]
            with _encrypted(parts.scheme, parts.hostname, port, ca_file=ca_file) as connection:
                # Not LOGIN, which knows ASCII only.
                connection.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
                _good(connection.select(_quoted(folder)), shown)
                yield cls(connection)
        except (imaplib.IMAP4.error, OSError) as error:
            # The server's words may repeat what we said.
            raise MailboxError(shown, f"{type(error).__name__} while it was read") from None

    def unread(self) -> Iterator[Arrived]:
        (found,) = _good(self._connection.uid("SEARCH", "UNSEEN"), "SEARCH")
        for uid in str(found or b"", "ascii").split():
            answer = _good(self._connection.uid("FETCH", uid, "(BODY.PEEK[])"), "FETCH")
            content = next((part[1] for part in answer if isinstance(part, tuple)), None)
            if content is not None:
                yield Arrived(uid, content)

    def put_aside(self, arrived: Arrived, *, understood: bool) -> None:
        flags = r"(\Seen)" if understood else r"(\Seen \Flagged)"
        _good(self._connection.uid("STORE", arrived.name, "+FLAGS", flags), "STORE")


@contextlib.contextmanager
def _encrypted(scheme: str, host: str, port: int, *, ca_file: str | None) -> Iterator[imaplib.IMAP4]:
    trusted = ssl.create_default_context(cafile=ca_file)
    if scheme == "imaps":
        with imaplib.IMAP4_SSL(host, port, ssl_context=trusted, timeout=_TIMEOUT_SECONDS) as connection:
            yield connection
        return
    plain = imaplib.IMAP4(host, port, timeout=_TIMEOUT_SECONDS)
    try:
        plain.starttls(trusted)
    except BaseException:
        # Not left by `with`, which would say goodbye, fail at that, and hide why.
        with contextlib.suppress(OSError):
            plain.shutdown()
        raise
    with plain:
        yield plain


def _good(answer: tuple[str, list[Any]], what: str) -> list[Any]:
    status, content = answer
    if status != "OK":
        raise MailboxError(what, f"expected OK, got {status}")
    return content


def _quoted(folder: str) -> str:
    escaped = _modified_utf7(folder).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _modified_utf7(folder: str) -> str:
    """Return *folder* as IMAP spells names outside ASCII (RFC 3501 5.1.3)."""

    def spelled(match: re.Match[str]) -> str:
        octets = base64.b64encode(match[0].encode("utf-16-be")).decode("ascii")
        return f"&{octets.rstrip('=').replace('/', ',')}-"

    return _NOT_ASCII.sub(spelled, folder.replace("&", "&-"))
