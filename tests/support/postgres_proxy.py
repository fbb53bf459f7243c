"""A TCP proxy before PostgreSQL that cuts a connection at a chosen statement: before it arrives, or after it was done.

It follows the frontend's messages, so that a statement is known by its text also when it was prepared before.
"""

import socket
import struct
import threading
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

from tests.support.pump import Pump, read_exactly

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104


class Loss(Enum):
    """What gets lost."""

    STATEMENT = "statement"  # the connection breaks before the server sees it
    ANSWER = "answer"  # the server has done it, and the connection breaks instead of the answer
    SILENCE = "silence"  # the server has done it, and nothing more comes over the connection, which stays open


@dataclass(slots=True)
class Cut:
    """Lose *loss* of the statement number `after` + 1 with *text* in it; counted once *armed_by* was seen, if given."""

    text: str
    loss: Loss
    after: int = 0
    armed_by: str | None = None
    matched: int = field(default=0)
    done: bool = field(default=False)


class PostgresProxy:
    """Listens on `port` of 127.0.0.1 and passes everything on to the server of *dsn*, but for the cuts asked for."""

    def __init__(self, dsn: str) -> None:
        """Listen."""
        parts = urlsplit(dsn)
        self._cuts: list[Cut] = []
        self._lock = threading.Lock()
        server = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._pump = Pump(server, lambda client, server: _Connection(self, client, server), name="postgres-proxy")
        self.dsn = dsn.replace(f":{parts.port}/", f":{self._pump.port}/")

    def cut(self, cut: Cut) -> Cut:
        """Have *cut* happen once, and return it."""
        with self._lock:
            self._cuts.append(cut)
        return cut

    def cut_all(self) -> int:
        """Break every connection now, and return how many there were; new ones are taken."""
        return self._pump.cut()

    def isolate(self) -> None:
        """Break every connection, and take no new one until `rejoin`."""
        self._pump.isolate()

    def rejoin(self) -> None:
        """Take connections again."""
        self._pump.rejoin()

    def close(self) -> None:
        """Stop listening, and break every connection."""
        self._pump.close()

    def cut_for(self, statement: str, earlier: list[str]) -> Cut | None:
        """Return the cut that happens at *statement*, which came after those *earlier* on the same connection."""
        with self._lock:
            for cut in self._cuts:
                armed = cut.armed_by is None or any(cut.armed_by in one for one in earlier)
                if cut.done or not armed or cut.text not in statement:
                    continue
                cut.matched += 1
                if cut.matched > cut.after:
                    cut.done = True
                    return cut
        return None


class _Connection:
    """One client and its connection to the server."""

    def __init__(self, proxy: PostgresProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._prepared: dict[bytes, str] = {}
        self._earlier: list[str] = []
        self._losing: Loss | None = None
        self._begun = threading.Event()

    def requests(self) -> None:
        """Pass the client's messages on until the connection ends."""
        self._begin()
        self._begun.set()
        while (message := _message(self._client)) is not None:
            kind, body = message[:1], message[5:]
            statement = self._statement(kind, body)
            cut = self._proxy.cut_for(statement, self._earlier) if statement is not None else None
            if cut is not None:
                if cut.loss is Loss.STATEMENT:
                    return
                self._losing = cut.loss
            if statement is not None:
                self._earlier = [*self._earlier[-20:], statement]
            self._server.sendall(message)

    def answers(self) -> None:
        """Pass the server's messages on, until an answer is to be lost or the connection ends."""
        self._begun.wait()
        while (message := _message(self._server)) is not None:
            if self._losing is None:
                self._client.sendall(message)
            elif message[:1] == b"Z" and self._losing is Loss.ANSWER:  # ready for the next one: it is done
                return

    def _begin(self) -> None:
        """Pass on what comes before the first typed message."""
        while (head := read_exactly(self._client, 8)) is not None:
            length, code = struct.unpack(">ii", head)
            rest = read_exactly(self._client, length - 8) or b""
            self._server.sendall(head + rest)
            if code not in (_SSL_REQUEST, _GSS_REQUEST):
                return
            self._client.sendall(read_exactly(self._server, 1) or b"")  # a single byte: no

    def _statement(self, kind: bytes, body: bytes) -> str | None:
        """Return the text of the statement that a message runs, or None; remember what a message prepares."""
        if kind == b"Q":
            return body.split(b"\0", 1)[0].decode(errors="replace")
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._prepared[name] = text.decode(errors="replace")
        elif kind == b"B":
            _, name, _ = body.split(b"\0", 2)
            return self._prepared.get(name)
        return None


def _message(connection: socket.socket) -> bytes | None:
    head = read_exactly(connection, 5)
    if head is None:
        return None
    body = read_exactly(connection, int.from_bytes(head[1:]) - 4)
    return None if body is None else head + body
