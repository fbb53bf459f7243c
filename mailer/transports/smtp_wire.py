"""One connection that speaks SMTP: lines out, replies in, each under a deadline of its own.

Not smtplib, for three reasons: its timeouts are per `recv`, so that a server which drips a byte a second holds a worker
for ever; it hides whether a failure came before or after the final dot was written; and it cuts addresses at `>`.
"""

import re
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?")
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?:\s+|$)")
_LONGEST_REPLY = 65536
_EOL = re.compile(rb"\r\n|\r|\n")
# A TLS connection's peer may take its time to say goodbye; nothing depends on it.
_GOODBYE_SECONDS = 1.0


class NoReplyError(Exception):
    """No valid reply came; the text says why, in words that hold no address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply of the server, its lines joined."""

    code: int
    text: str
    lines: tuple[str, ...]


class SmtpWire:
    """A connected socket. Not for more than one thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over *connection*."""
        self._socket = connection
        self._received = bytearray()

    @property
    def local_address(self) -> str:
        """Return our own address, for EHLO."""
        return str(self._socket.getsockname()[0])

    def start_tls(self, context: ssl.SSLContext, host: str, *, seconds: float) -> None:
        """Encrypt from here on; what came in the clear is forgotten, or an attacker could speak for the server."""
        self._received.clear()
        self._socket.settimeout(seconds)
        try:
            self._socket = context.wrap_socket(self._socket, server_hostname=host)
        except (OSError, ValueError) as error:
            raise NoReplyError(_cause(error)) from None

    def command(self, line: str, *, seconds: float) -> Answer:
        """Send *line* and return the reply to it."""
        self.expect_silence()
        self.write(f"{line}\r\n".encode(), seconds=seconds)
        return self.answer(seconds=seconds)

    def expect_silence(self) -> None:
        """Raise NoReplyError if something came unasked: it would be taken for the reply to what is said next."""
        if self._received:
            raise NoReplyError("the server spoke out of turn")

    def expect_nothing_yet(self) -> None:
        """Raise NoReplyError if a yes came before its question, or nobody is there any more to hear it.

        An early no is left to be read: some servers refuse a message in the middle of it.
        """
        self.expect_silence()
        try:
            self._socket.settimeout(0)
            received = self._socket.recv(4096)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError as error:
            raise NoReplyError(_cause(error)) from None
        if not received:
            raise NoReplyError("the server closed the connection")
        self._received += received
        if received[0] in b"23":
            raise NoReplyError("the server spoke out of turn")

    def write(self, content: bytes, *, seconds: float) -> None:
        """Send *content* whole, or raise NoReplyError."""
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(content)
        except OSError as error:
            raise NoReplyError(_cause(error)) from None

    def answer(self, *, seconds: float) -> Answer:
        """Return the next reply, which must be complete within *seconds*."""
        deadline = time.monotonic() + seconds
        codes: set[bytes] = set()
        lines: list[str] = []
        length = 0
        while True:
            line = self._line(deadline)
            match = _LINE.fullmatch(line)
            length += len(line)
            if match is None or length > _LONGEST_REPLY:
                raise NoReplyError("the server sent what is no SMTP reply")
            codes.add(match[1])
            lines.append((match[3] or b"").decode("utf-8", "replace"))
            if match[2] != b"-":
                break
        if len(codes) != 1:
            raise NoReplyError("the server sent a reply of several codes")
        return Answer(int(codes.pop()), _joined(lines), tuple(lines))

    def close(self) -> None:
        """Say goodbye without waiting for an answer, and close."""
        with suppress(NoReplyError):
            self.write(b"QUIT\r\n", seconds=_GOODBYE_SECONDS)
        self.abandon()

    def abandon(self) -> None:
        """Close without a word."""
        with suppress(OSError):
            self._socket.close()

    def _line(self, deadline: float) -> bytes:
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > _LONGEST_REPLY:
                raise NoReplyError("the server sent what is no SMTP reply")
            self._receive(deadline)
        line = bytes(self._received[:end]).rstrip(b"\r")
        del self._received[: end + 1]
        return line

    def _receive(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise NoReplyError("no reply in time")
        try:
            self._socket.settimeout(remaining)
            received = self._socket.recv(4096)
        except OSError as error:
            raise NoReplyError(_cause(error)) from None
        if not received:
            raise NoReplyError("the server closed the connection")
        self._received += received


def connect(host: str, port: int, *, seconds: float) -> SmtpWire:
    """Return a connection to *host*, or raise NoReplyError."""
    try:
        connection = socket.create_connection((host, port), timeout=seconds)
    except (OSError, UnicodeError) as error:
        raise NoReplyError(_cause(error)) from None
    # The final dot is a small packet of its own; Nagle's algorithm would hold it back until the body is acknowledged.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return SmtpWire(connection)


def stuffed(content: bytes) -> bytes:
    """Return *content* as it follows DATA: lines end with CRLF, leading dots are doubled, the last line is ended.

    No line break but CRLF is left: a server that takes a bare one for an end of line could be sent a second message.
    """
    if not content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n"):  # a tenth of the substitution's time
        content = _EOL.sub(b"\r\n", content)
    content = content.replace(b"\n.", b"\n..")
    if content.startswith(b"."):
        content = b"." + content
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


def _joined(lines: list[str]) -> str:
    """Return *lines* as one; each may repeat the enhanced status code, which is kept at the front only."""
    first, *others = lines
    return " ".join(part for part in (first, *(_ENHANCED.sub("", line, count=1) for line in others)) if part)


def _cause(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no reply in time"
        case ssl.SSLCertVerificationError():
            return f"the server's certificate does not verify: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or type(error).__name__}"
        case socket.gaierror():
            return f"the host's name does not resolve: {error.strerror}"
        case OSError() if error.strerror:
            return error.strerror.lower()
        case _:
            return type(error).__name__
