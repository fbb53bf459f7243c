"""A proxy before one broker that loses, mutes or holds EndTxn: what a network does at the worst moment.

The broker's answers name its own address; the proxy puts its own in its place, so that every connection of the client
comes through here. Addresses in answers have a fixed length (an IPv4 address and a port), so nothing else changes.
"""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Final

END_TXN: Final = 26
_HEADER = struct.Struct(">hhi")


class Fault(StrEnum):
    """What becomes of an EndTxn."""

    LOSE = "lose"  # the request never arrives, and the connection breaks
    MUTE = "mute"  # it is carried out, the answer is lost, and the connection breaks
    HOLD = "hold"  # it arrives after the client has given up waiting for the answer


class KafkaProxy:
    """Listens on 127.0.0.1, and passes everything on but what `faults` says of the nth EndTxn."""

    def __init__(self, bootstrap: str, faults: dict[int, Fault], *, hold_seconds: float) -> None:
        """Stand before the broker at *bootstrap*; *faults* are by the number of the EndTxn, from 1."""
        host, _, port = bootstrap.rpartition(":")
        self._broker = (host, int(port))
        self._faults = faults
        self._hold = hold_seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.bootstrap = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = [self._listener]
        self._closing = threading.Event()
        self._start(self._accept)

    def close(self) -> None:
        """Close every connection."""
        self._closing.set()
        for one in self._sockets:
            _shut(one)

    def _start(self, target: object, *arguments: object) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()  # type: ignore[arg-type]  # a callable

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                broker = socket.create_connection(self._broker)
            except OSError:
                return
            with self._lock:
                self._sockets += [client, broker]
            muted: set[int] = set()
            self._start(self._requests, client, broker, muted)
            self._start(self._answers, client, broker, muted)

    def _requests(self, client: socket.socket, broker: socket.socket, muted: set[int]) -> None:
        """Pass requests on."""
        try:
            for frame in _frames(client):
                api, _version, correlation = _HEADER.unpack_from(frame)
                if api == END_TXN and not self._let_through(correlation, muted):
                    break
                broker.sendall(struct.pack(">i", len(frame)) + frame)
        except OSError:
            pass  # the other side is gone, and so are we
        _shut(client)
        _shut(broker)

    def _let_through(self, correlation: int, muted: set[int]) -> bool:
        """Do what is planned for this EndTxn, and return whether it reaches the broker."""
        with self._lock:
            self.seen["EndTxn"] += 1
            fault = self._faults.get(self.seen["EndTxn"])
            if fault is not None:
                self.seen[fault] += 1
        if fault is Fault.MUTE:
            muted.add(correlation)
        if fault is Fault.HOLD:
            self._closing.wait(self._hold)
        return fault is not Fault.LOSE

    def _answers(self, client: socket.socket, broker: socket.socket, muted: set[int]) -> None:
        """Pass answers back, with our address in the place of the broker's."""
        theirs = self._broker[0].encode() + struct.pack(">i", self._broker[1])
        ours = b"127.0.0.1" + struct.pack(">i", int(self.bootstrap.rpartition(":")[2]))
        try:
            for frame in _frames(broker):
                if struct.unpack_from(">i", frame)[0] in muted:
                    break
                client.sendall(struct.pack(">i", len(frame)) + frame.replace(theirs, ours))
        except OSError:
            pass  # as above
        _shut(client)
        _shut(broker)


def _frames(connection: socket.socket) -> Iterator[bytes]:
    """Give each message without its length."""
    while size := _exactly(connection, 4):
        frame = _exactly(connection, struct.unpack(">i", size)[0])
        if not frame:
            return
        yield frame


def _exactly(connection: socket.socket, count: int) -> bytes:
    """Return *count* bytes; none, once the other side has closed."""
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            return b""
        parts += part
    return bytes(parts)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # it was shut already
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def proxied(bootstrap: str, faults: dict[int, Fault], *, hold_seconds: float = 6.0) -> Iterator[KafkaProxy]:
    """Give a proxy before the broker at *bootstrap*, and close it in the end."""
    proxy = KafkaProxy(bootstrap, faults, hold_seconds=hold_seconds)
    try:
        yield proxy
    finally:
        proxy.close()
