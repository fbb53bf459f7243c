"""The mail server of the scripted chaos: it does to each recipient what its fate says, and writes down what it did.

Unlike `tests.support.scripted_smtp`, whose answers it gives, it knows whom a message is for, springs traps, and keeps
a register of what it took.
"""

import hashlib
import re
import socket
import socketserver
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from tests.chaos.scripted.fates import Step, Tls, Trouble, noticed, trouble_at
from tests.chaos.scripted.register import Register, Transaction, Turned
from tests.chaos.scripted.traps import Traps
from tests.support.scripted_smtp import Answer, ClosedError, Drop, Hang, play

# Recipients are `r17@…`: the number is what a fate hangs on.
_NUMBER = re.compile(r"r(\d+)@")
_RECIPIENT = re.compile(r"RCPT TO:<([^>]*)>", re.IGNORECASE)
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_PATIENCE_SECONDS = 60.0
_VERBS = {"EHLO": Step.EHLO, "HELO": Step.EHLO, "STARTTLS": Step.TLS, "MAIL": Step.MAIL, "RSET": Step.RSET}


class Decides(Protocol):
    """Says what happens."""

    def of_recipient(self, number: int) -> tuple[Trouble, ...]:
        """Return what the messages for recipient *number* meet, in turn."""
        ...

    def of_connection(self, server: int, number: int, *, tls: bool) -> Trouble | None:
        """Return what happens on connection *number* of *server*."""
        ...


@dataclass(frozen=True, slots=True)
class Certificates:
    """The contexts of the server's side: the one that the client trusts, and another."""

    right: ssl.SSLContext
    wrong: ssl.SSLContext


class MailServer:
    """Listens on 127.0.0.1 until the block ends. *fates* may be replaced, and it may be *away*, while it runs."""

    def __init__(
        self,
        fates: Decides,
        *,
        register: Register,
        traps: Traps,
        index: int = 0,
        pipelining: bool = False,
        certificates: Certificates | None = None,
    ) -> None:
        """Serve as *fates* says; with *certificates*, STARTTLS is offered."""
        self.fates, self.register, self.traps = fates, register, traps
        self.index, self.certificates = index, certificates
        self.features = ["SIZE 1000000", *(["PIPELINING"] if pipelining else []), "8BITMIME"]
        self.away = False
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._accepted = 0
        self._sockets: set[socket.socket] = set()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with outer.counted(self.request) as number, suppress(OSError):
                    _Conversation(outer, self.request, number).run()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.request_queue_size = 64
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def transport(self) -> str:
        """Return what the client calls this server: a certificate is for `localhost`."""
        host = "localhost" if self.certificates else "127.0.0.1"
        return f"smtp://{host}:{self._server.server_address[1]}"

    def counted(self, connection: socket.socket) -> "_Counted":
        """Return a block for the length of *connection*, with its number."""
        return _Counted(self, connection)

    def begin(self, connection: socket.socket) -> int:
        """Note a connection, and return its number."""
        with self._lock:
            self._accepted += 1
            self._sockets.add(connection)
            return self._accepted

    def end(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._sockets.discard(connection)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()


@dataclass(frozen=True, slots=True)
class _Counted:
    server: MailServer
    connection: socket.socket

    def __enter__(self) -> int:
        return self.server.begin(self.connection)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.end(self.connection)


@dataclass(slots=True)
class _Open:
    """A transaction that has begun; what is known of it so far."""

    recipient: str
    trouble: Trouble | None
    began_at: float
    message_id: str | None = None
    digest: str | None = None


class _Conversation:
    """One connection."""

    def __init__(self, server: MailServer, connection: socket.socket, number: int) -> None:
        self._server = server
        self._socket = connection
        self._socket.settimeout(_PATIENCE_SECONDS)
        self._port = int(connection.getpeername()[1])
        self._number = number
        self._received = b""
        self._secure = False
        self._mail = False
        self._open: _Open | None = None
        self._trouble = server.fates.of_connection(server.index, number, tls=server.certificates is not None)

    def run(self) -> None:
        """Serve until one side has enough."""
        try:
            if self._server.away:
                raise ClosedError
            self._meet(Step.CONNECT, "220 scripted ESMTP")
            while True:
                self._command(self._line())
        finally:
            self._end(frozenset(), code=None)  # the client is gone, in the middle of a message
            self._socket.close()

    # ------------------------------------------------------------------------------------------------- commands

    def _command(self, line: str) -> None:
        verb = line.split(" ", maxsplit=1)[0].upper()
        match verb:
            case "MAIL":
                if self._server.away:
                    self._turn(frozenset((Step.MAIL,)), 421)
                    self._send(Drop(after=b"421 4.3.2 away\r\n"))
                self._mail = self._meet(Step.MAIL, "250 2.1.0 ok")
            case "RCPT":
                self._rcpt(line)
            case "DATA":
                self._data()
            case "STARTTLS" if self._server.certificates is not None:
                self._starttls(self._server.certificates)
            case "EHLO" | "HELO":
                self._meet(Step.EHLO, self._hello())
            case "QUIT":
                self._meet(Step.QUIT, "221 bye")
                raise ClosedError
            case "RSET" | "NOOP":
                self._mail = False
                self._meet(Step.RSET, "250 ok")
            case _:
                self._send("500 5.5.1 no such command")

    def _hello(self) -> str:
        starttls = ["STARTTLS"] if self._server.certificates and not self._secure else []
        lines = ["scripted", *starttls, *self._server.features]
        return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    def _rcpt(self, line: str) -> None:
        if not self._mail:
            self._send("503 5.5.1 no sender")
            return
        found = _RECIPIENT.match(line)
        recipient = found[1] if found else ""
        number = _NUMBER.match(recipient)
        fate = self._server.fates.of_recipient(int(number[1])) if number else ()
        trouble = trouble_at(fate, self._server.register.nth(recipient))
        self._open = _Open(recipient, trouble, time.time())
        self._meet(Step.RCPT, "250 2.1.5 ok")

    def _data(self) -> None:
        if self._open is None:
            self._send("503 5.5.1 no recipient")
            return
        if not self._meet(Step.DATA, "354 go on"):
            return
        self._server.traps.passed(Step.BODY, self._port, after=False)
        if self._open.trouble is not None and self._open.trouble.step is Step.BODY:
            self._receive()
            self._fail(self._open.trouble)
            raise ClosedError
        self._message(self._open)
        self._meet(Step.DOT, "250 2.0.0 taken as 1")
        self._mail = False

    def _message(self, open_: _Open) -> None:
        while b"\r\n.\r\n" not in self._received:
            self._receive()
        content, _, self._received = self._received.partition(b"\r\n.\r\n")
        found = _MESSAGE_ID.search(content)
        open_.message_id = found[1].decode("ascii", "replace") if found else None
        open_.digest = hashlib.sha256(content).hexdigest()[:16]

    def _starttls(self, certificates: Certificates) -> None:
        if not self._meet(Step.TLS, "220 go on", only_refusals=True):
            return
        self._received = b""
        kind = self._trouble.name.partition(": ")[2] if self._trouble and self._trouble.step is Step.TLS else Tls.RIGHT
        if kind == Tls.RIGHT:
            self._socket = certificates.right.wrap_socket(self._socket, server_side=True)
            self._secure = True
            return
        self._server.register.turn(Turned(self._server.transport, frozenset((Step.TLS,)), None))
        if kind == Tls.WRONG:
            self._socket = certificates.wrong.wrap_socket(self._socket, server_side=True)
            self._receive()
        elif kind == Tls.GARBAGE:
            self._socket.sendall(b"hello there\r\n" * 9)
        else:
            self._receive()
        raise ClosedError

    # -------------------------------------------------------------------------------------------------- answers

    def _meet(self, step: Step, good: str, *, only_refusals: bool = False) -> bool:
        """Answer at *step*: well, or as the fate says; return whether the client may go on."""
        self._server.register.reach(step)
        self._server.traps.passed(step, self._port, after=False)
        trouble = self._due(step)
        if trouble is None or (only_refusals and trouble.code is None):
            if step is Step.DOT:  # taken, whatever becomes of the answer
                self._end(frozenset((Step.DONE,)), code=250, kept=True)
            self._send(good)
            self._server.traps.passed(step, self._port, after=True)
            return True
        self._fail(trouble)
        self._server.traps.passed(step, self._port, after=True)
        if trouble.ends:
            raise ClosedError
        return False

    def _due(self, step: Step) -> Trouble | None:
        """Return the trouble of *step*; a connection's comes once."""
        if self._open is not None:
            trouble = self._open.trouble
            return trouble if trouble is not None and trouble.step is step else None
        if self._trouble is None or self._trouble.step is not step:
            return None
        trouble = self._trouble
        if step is not Step.TLS:
            self._trouble = None
        return trouble

    def _fail(self, trouble: Trouble) -> None:
        """Do what *trouble* says, and write it down before the client can know of it."""
        phases, code = noticed(trouble)
        if self._open is None:
            self._turn(phases, code)
        else:
            self._end(phases, code=code, kept=trouble.keeps, met=trouble.name)
        if trouble.delay_seconds:
            self._server.stopping.wait(trouble.delay_seconds)
        self._send(trouble.answer)

    def _turn(self, phases: frozenset[Step], code: int | None) -> None:
        self._server.register.turn(Turned(self._server.transport, frozenset(phases), code))

    def _end(
        self,
        phases: frozenset[Step],
        *,
        code: int | None,
        kept: bool = False,
        met: str | None = None,
    ) -> None:
        """Write down how the open transaction ended, if one is open."""
        if (open_ := self._open) is None:
            return
        self._open = None
        self._server.register.end(
            Transaction(
                transport=self._server.transport,
                connection=self._number,
                recipient=open_.recipient,
                phases=frozenset(map(str, phases)),
                code=code,
                kept=kept,
                met=met,
                began_at=open_.began_at,
                ended_at=time.time(),
                message_id=open_.message_id,
                digest=open_.digest,
            )
        )

    def _send(self, answer: Answer) -> None:
        if isinstance(answer, Hang):
            while True:  # until the client closes
                self._receive()
        play(answer, self._socket, self._server.stopping)

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
