"""What both proxies are made of: a port whose clients each get a connection of their own to one server.

What happens on the way is the business of a conversation: two loops, one for each direction, of which either ends both.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Protocol

_CONNECT = 5.0


class Conversation(Protocol):
    """One client and its connection to the server."""

    def requests(self) -> None:
        """Pass on what the client says, until that ends or the connection has to break."""
        ...

    def answers(self) -> None:
        """Pass on what the server says, likewise."""
        ...


class Pump:
    """Listens on `port` of 127.0.0.1, and has *converse* say what happens between each client and *server*."""

    def __init__(
        self, server: tuple[str, int], converse: Callable[[socket.socket, socket.socket], Conversation], *, name: str
    ) -> None:
        """Listen; the server need not be there yet."""
        self._server = server
        self._converse = converse
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: set[socket.socket] = set()
        self._away = False
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name=name, daemon=True).start()

    def connect(self) -> socket.socket:
        """Return a new connection to the server."""
        found = socket.create_connection(self._server, timeout=_CONNECT)
        found.settimeout(None)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    def cut(self) -> int:
        """Break every connection, and return how many clients had one; new ones are taken."""
        broken = list(self._sockets)
        for one in broken:
            shut(one)
        return len(broken) // 2

    def isolate(self) -> None:
        """Break every connection, and take no new one until `rejoin`."""
        self._away = True
        self.cut()

    def rejoin(self) -> None:
        """Take connections again."""
        self._away = False

    def close(self) -> None:
        """Stop listening, and break every connection."""
        shut(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = self.connect()
            except OSError:
                shut(client)
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets |= {client, server}
            if self._away:
                self._part(client, server)
                continue
            conversation = self._converse(client, server)
            for loop in (conversation.requests, conversation.answers):
                threading.Thread(target=self._run, args=(loop, client, server), daemon=True).start()

    def _run(self, loop: Callable[[], None], client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            loop()
        self._part(client, server)

    def _part(self, client: socket.socket, server: socket.socket) -> None:
        self._sockets -= {client, server}
        shut(client)
        shut(server)


def later(seconds: float, call: Callable[[], None]) -> None:
    """Run *call* in *seconds*."""
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


def shut(connection: socket.socket) -> None:
    """Break a connection, also for the thread that waits on it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()


def read_exactly(connection: socket.socket, count: int) -> bytes | None:
    """Return *count* bytes; None if the connection ends before."""
    found = bytearray()
    while len(found) < count:
        chunk = connection.recv(min(count - len(found), 1 << 20))
        if not chunk:
            return None
        found += chunk
    return bytes(found)
