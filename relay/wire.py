"""Kafka's own requests, where the client library has none: what a broker knows of transactions, and ending one.

librdkafka cannot describe producers and transactions, and cannot end a transaction that holds no record of its own. So
these few requests are written by hand, over a connection for each, in plain text or TLS. SASL is not spoken: where a
login is needed, `Wire.speaks` says so, and whoever asks has to say that the question could not be put.
"""

import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TypeVar

from relay.codec import Broker, Reader
from relay.errors import SinkUnavailableError

T = TypeVar("T")

# Seconds to connect, and for one answer.
TIMEOUT = 5.0
_CLIENT = b"outbox-wire"
_LARGEST_ANSWER = 64 * 1024 * 1024
_HEADER = struct.Struct(">hhi")


class Api(IntEnum):
    """Kafka's numbers of the requests that are written here."""

    METADATA = 3
    FIND_COORDINATOR = 10
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    END_TXN = 26
    WRITE_TXN_MARKERS = 27
    DESCRIBE_PRODUCERS = 61
    DESCRIBE_TRANSACTIONS = 65
    LIST_TRANSACTIONS = 66


# The version of each that is spoken, and whether it is of the flexible kind (compact lengths, tagged
# fields). Each is one that every broker from 3.0 on takes. EndTxn 5 would bump the epoch with each transaction.
_VERSIONS: Mapping[Api, tuple[int, bool]] = {
    Api.METADATA: (4, False),
    Api.FIND_COORDINATOR: (1, False),
    Api.INIT_PRODUCER_ID: (1, False),
    Api.ADD_PARTITIONS_TO_TXN: (0, False),
    Api.END_TXN: (1, False),
    Api.WRITE_TXN_MARKERS: (1, True),
    Api.DESCRIBE_PRODUCERS: (0, True),
    Api.DESCRIBE_TRANSACTIONS: (0, True),
    Api.LIST_TRANSACTIONS: (0, True),
}


class Wire:
    """Puts single requests to single brokers."""

    def __init__(self, bootstrap: str, options: Mapping[str, str]) -> None:
        """Keep where the brokers are, and how they are spoken to; nothing is connected yet."""
        self._bootstrap = [address(one) for one in bootstrap.split(",")]
        self._protocol = options.get("security.protocol", "plaintext").lower()
        self._options = options

    @property
    def unable(self) -> str | None:
        """Return why these brokers cannot be asked by us; None if they can."""
        if self._protocol in ("plaintext", "ssl"):
            return None
        return f"security.protocol is {self._protocol}, and only plaintext and ssl are spoken for this question"

    def ask(self, api: Api, body: bytes, read: Callable[[Reader], T], *, broker: Broker | None = None) -> T:
        """Return what *read* makes of the answer of *broker*, or of the first that answers."""
        if self.unable:
            raise SinkUnavailableError(self.unable)
        problem = "no broker is known"
        for place in [broker] if broker else self._bootstrap:
            try:
                return read(self._answer(place, api, body))
            except (OSError, struct.error, IndexError) as error:
                problem = f"{api.name} to {place[0]}:{place[1]}: {type(error).__name__} {error}"
        raise SinkUnavailableError(problem)

    def _answer(self, broker: Broker, api: Api, body: bytes) -> Reader:
        version, flexible = _VERSIONS[api]
        head = _HEADER.pack(api, version, 1) + struct.pack(">h", len(_CLIENT)) + _CLIENT + (b"\0" if flexible else b"")
        with self._connected(broker) as connection:
            connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
            size = int.from_bytes(_exactly(connection, 4))
            if size > _LARGEST_ANSWER:
                raise OSError(f"expected an answer of Kafka, got one of {size} bytes")
            reader = Reader(_exactly(connection, size), flexible=flexible)
        reader.number("i")
        reader.tags()
        return reader

    def _connected(self, broker: Broker) -> socket.socket:
        connection = socket.create_connection(broker, timeout=TIMEOUT)
        if self._protocol == "plaintext":
            return connection
        try:
            return self._trust().wrap_socket(connection, server_hostname=broker[0])
        except BaseException:
            connection.close()
            raise

    def _trust(self) -> ssl.SSLContext:
        """Return the TLS settings, as librdkafka names them."""
        options = self._options
        context = ssl.create_default_context(cafile=options.get("ssl.ca.location"), cadata=options.get("ssl.ca.pem"))
        context.check_hostname = options.get("ssl.endpoint.identification.algorithm", "https") == "https"
        if options.get("enable.ssl.certificate.verification", "true") == "false":
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if "ssl.certificate.location" in options:
            context.load_cert_chain(
                options["ssl.certificate.location"], options.get("ssl.key.location"), options.get("ssl.key.password")
            )
        return context


def address(text: str) -> Broker:
    """Return host and port of a broker as a setting names it."""
    host, _, port = text.strip().rpartition("://")[2].rpartition(":")
    return (host.strip("[]"), int(port)) if host else (port.strip("[]"), 9092)


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = bytearray()
    while len(found) < count:
        part = connection.recv(min(count - len(found), 1 << 20))
        if not part:
            raise ConnectionError("the broker closed the connection")
        found += part
    return bytes(found)
