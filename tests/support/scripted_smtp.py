"""An SMTP server that does as it is told, wrong things above all: drops, hangs, garbage, at a step of your choice."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection instead of answering; *after* is written first (half a reply, say)."""

    after: bytes = b""


@dataclass(frozen=True, slots=True)
class Hang:
    """Answer nothing until the client gives up; *drip* writes that again and again."""

    drip: bytes = b""


@dataclass(frozen=True, slots=True)
class Raw:
    """Write exactly this, and go on."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Slow:
    """Write *content* in pieces of eight bytes, with a pause after each."""

    content: bytes
    pause_seconds: float = 0.002


Answer = str | Drop | Hang | Raw | Slow
DEFAULTS: dict[str, str] = {
    "CONNECT": "220 scripted ESMTP",
    "EHLO": "250-scripted\r\n250-SIZE 1000000\r\n250 8BITMIME",
    "HELO": "250 scripted",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go on",
    "DOT": "250 2.0.0 queued as 1",
    "RSET": "250 ok",
    "NOOP": "250 ok",
    "QUIT": "221 bye",
    "STARTTLS": "220 go on",
    "AUTH": "235 2.7.0 ok",
    "LINE": "334 ",
}


@dataclass
class _Log:
    """What came, in order; a connection's number is that of its acceptance."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    lines: list[tuple[int, str]] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0


class ScriptedServer:
    """Listens on 127.0.0.1. *script* has for each step one answer, or several to be given in turn; the last one stays.

    A step is CONNECT, DOT (after the final dot), LINE (inside AUTH LOGIN) or the verb of a command.
    """

    def __init__(
        self,
        script: Mapping[str, Answer | list[Answer]] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        tls_at_once: bool = False,
    ) -> None:
        """Answer by *script*, else as a server that accepts."""
        self._script: dict[str, list[Answer]] = {step: [answer] for step, answer in DEFAULTS.items()}
        for step, answers in (script or {}).items():
            self._script[step] = list(answers) if isinstance(answers, list) else [answers]
        self._tls, self._tls_at_once = tls, tls_at_once
        self.log = _Log()
        self.stopping = threading.Event()
        self._sockets: list[socket.socket] = []
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    _Conversation(outer, self.request).run()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        """Return where it listens."""
        return int(self._server.server_address[1])

    @property
    def dsn(self) -> str:
        """Return the DSN of it, with short timeouts."""
        times = "connect_timeout_seconds=2&timeout_seconds=2&dot_timeout_seconds=2"
        return f"smtp://127.0.0.1:{self.port}?{times}"

    @property
    def connections(self) -> int:
        """Return how many connections there were."""
        return self.log.connections

    @property
    def messages(self) -> list[bytes]:
        """Return what was received between DATA and the dot, each once its dot came."""
        return list(self.log.messages)

    def commands(self, connection: int | None = None) -> list[str]:
        """Return the verbs that came, of one *connection* or of all."""
        return [line.split(" ")[0] for number, line in self.log.lines if connection in (None, number)]

    def lines(self) -> list[str]:
        """Return the command lines that came."""
        return [line for _, line in self.log.lines]

    def next_answer(self, step: str, connection: int) -> Answer:  # noqa: ARG002 - for those who script by connection
        """Return what to answer at *step* this time, on the *connection* of that number."""
        with self.log.lock:
            answers = self._script.get(step, ["500 5.5.1 no such command"])
            return answers.pop(0) if len(answers) > 1 else answers[0]

    def accepted(self, connection: socket.socket) -> int:
        """Note a connection, and return its number."""
        with self.log.lock:
            self.log.connections += 1
            self._sockets.append(connection)
            return self.log.connections

    def wrapped(self, connection: socket.socket, *, at_once: bool) -> socket.socket:
        """Return *connection* with TLS where this is the moment for it."""
        if self._tls is None or at_once is not self._tls_at_once:
            return connection
        return self._tls.wrap_socket(connection, server_side=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()


class ClosedError(OSError):
    """The conversation is over."""


def play(answer: Answer, connection: socket.socket, stopping: threading.Event) -> None:
    """Do on *connection* what *answer* says; raise ClosedError where that is the end of it."""
    match answer:
        case str():
            connection.sendall(f"{answer}\r\n".encode())
        case Raw():
            connection.sendall(answer.content)
        case Drop():
            connection.sendall(answer.after)
            raise ClosedError
        case Slow():
            for start in range(0, len(answer.content), 8):
                connection.sendall(answer.content[start : start + 8])
                stopping.wait(answer.pause_seconds)
        case Hang():
            while not stopping.wait(0.05):
                connection.sendall(answer.drip)
            raise ClosedError


class _Conversation:
    """One connection."""

    def __init__(self, server: ScriptedServer, connection: socket.socket) -> None:
        self._server = server
        self._number = server.accepted(connection)
        self._socket = server.wrapped(connection, at_once=True)
        self._received = b""

    def run(self) -> None:
        try:
            self._answer("CONNECT")
            while True:
                self._command(self._line())
        finally:
            self._socket.close()

    def _command(self, line: str) -> None:
        self._note(line)
        verb = line.split(" ", maxsplit=1)[0].upper()
        answer = self._answer(verb)
        if verb == "QUIT":
            raise ClosedError
        if verb == "STARTTLS" and _code(answer) == "220":
            self._received = b""
            self._socket = self._server.wrapped(self._socket, at_once=False)
        if verb == "DATA" and _code(answer) == "354":
            self._message()
        if line.upper() == "AUTH LOGIN" and _code(answer) == "334":
            self._note(self._line())
            self._answer("LINE")
            self._note(self._line())
            self._answer("DONE")

    def _message(self) -> None:
        while not (self._received.startswith(b".\r\n") or b"\r\n.\r\n" in self._received):
            self._receive()
        if self._received.startswith(b".\r\n"):
            message, self._received = b"", self._received[3:]
        else:
            message, _, self._received = self._received.partition(b"\r\n.\r\n")
        with self._server.log.lock:
            self._server.log.messages.append(message + b"\r\n")
        self._answer("DOT")

    def _answer(self, step: str) -> Answer:
        answer = self._server.next_answer(step, self._number)
        play(answer, self._socket, self._server.stopping)
        return answer

    def _line(self) -> str:
        while b"\r\n" not in self._received:
            self._receive()
        line, _, self._received = self._received.partition(b"\r\n")
        return line.decode("utf-8", "replace")

    def _receive(self) -> None:
        received = self._socket.recv(65536)
        if not received:
            raise ClosedError
        self._received += received

    def _note(self, line: str) -> None:
        with self._server.log.lock:
            self._server.log.lines.append((self._number, line))


def _code(answer: Answer) -> str:
    match answer:
        case str():
            return answer[:3]
        case Raw() | Slow():
            return answer.content[:3].decode("ascii", "replace")
        case Drop() | Hang():
            return ""
