"""Hanging transactions, made on purpose: a proxy that keeps a topic from the coordinator, so that no marker is written.

Clients that start at the proxy stay with it. What they add of a *forgotten* topic never reaches the coordinator, and
they hear that it did: their records lie in the log, and whatever becomes of the transaction, its marker goes elsewhere.
The broker must not ask the coordinator about records of a transaction: `unverified` has it trust its clients.

The other way is the one that was met in the wild: the coordinator knows every partition, and its markers are lost. A
`MarkingBroker` sends its own markers through such a network, which answers them in the place of the partition's leader.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # no __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from devstack.kafka import EmbeddedKafka
from devstack.processes import free_port
from relay.codec import Reader, compact_many, compact_text
from tests.support.kafka_network import Api, read_frame
from tests.support.pump import Pump

_VERIFICATION = "transaction.partition.verification.enable"
# Answers that name a broker's address.
_ADDRESSES = frozenset({Api.METADATA, Api.FIND_COORDINATOR, Api.DESCRIBE_CLUSTER})
_SECONDS = 20
Topics = list[tuple[bytes, list[int]]]


class ForgetfulNetwork:
    """Listens on `bootstrap`, and keeps the topics in `forgotten` from the coordinator; `kept` counts how often.

    While `losing`, no EndTxn arrives; `lost` counts them. While `unmarked`, no marker is written; `markers` counts what
    was taken for written.
    """

    def __init__(self, bootstrap: str) -> None:
        """Stand before the one broker at *bootstrap*."""
        host, _, port = bootstrap.rpartition(":")
        self.forgotten: set[str] = set()
        self.kept = 0
        self.losing = False
        self.lost = 0
        self.unmarked = False
        self.markers = 0
        self._pump = Pump((host, int(port)), lambda client, broker: _Connection(self, client, broker), name="forgetful")
        self.bootstrap = f"127.0.0.1:{self._pump.port}"
        self.theirs = host.encode() + struct.pack(">i", int(port))
        self.ours = b"127.0.0.1" + struct.pack(">i", self._pump.port)

    def close(self) -> None:
        """Stop listening, and break every connection."""
        self._pump.close()


class _Connection:
    """One client and its connection to the broker."""

    def __init__(self, network: ForgetfulNetwork, client: socket.socket, broker: socket.socket) -> None:
        self._network = network
        self._client = client
        self._broker = broker
        self._waiting: dict[int, tuple[int, Topics]] = {}

    def requests(self) -> None:
        """Pass requests on, without what is forgotten."""
        while (frame := read_frame(self._client)) is not None:
            api, _version, correlation = struct.unpack_from(">hhi", frame, 4)
            if api == Api.END_TXN and self._network.losing:
                self._network.lost += 1
                continue
            if api == Api.WRITE_TXN_MARKERS and self._network.unmarked:
                self._network.markers += 1
                self._client.sendall(marked(frame))
                continue
            kept: Topics = []
            if api == Api.ADD_PARTITIONS_TO_TXN and self._network.forgotten:
                frame, kept, left = without(frame, self._network.forgotten)
                self._network.kept += len(kept)
                if not left:
                    self._client.sendall(_framed(struct.pack(">iii", correlation, 0, len(kept)) + _agreed(kept)))
                    continue
            self._waiting[correlation] = api, kept
            self._broker.sendall(frame)

    def answers(self) -> None:
        """Pass answers on, with our address, and with what was kept as if it had been done."""
        while (frame := read_frame(self._broker)) is not None:
            (correlation,) = struct.unpack_from(">i", frame, 4)
            api, kept = self._waiting.pop(correlation, (-1, []))
            if api in _ADDRESSES:
                frame = frame.replace(self._network.theirs, self._network.ours)
            if kept:
                (count,) = struct.unpack_from(">i", frame, 12)
                frame = _framed(frame[4:12] + struct.pack(">i", count + len(kept)) + frame[16:] + _agreed(kept))
            self._client.sendall(frame)


def without(frame: bytes, forgotten: set[str]) -> tuple[bytes, Topics, bool]:
    """Return an AddPartitionsToTxn without *forgotten* topics, those it had, and whether anything is left of it."""
    (version,) = struct.unpack_from(">h", frame, 6)
    assert version == 0, f"expected AddPartitionsToTxn 0 of librdkafka, got {version}"
    place = 14 + max(struct.unpack_from(">h", frame, 12)[0], 0)  # behind the client's name
    place += 2 + struct.unpack_from(">h", frame, place)[0] + 10  # behind the transactional id and its producer
    head, (count,) = frame[4:place], struct.unpack_from(">i", frame, place)
    place += 4
    topics: Topics = []
    for _ in range(count):
        (length,) = struct.unpack_from(">h", frame, place)
        name = frame[place + 2 : place + 2 + length]
        place += 2 + length
        (many,) = struct.unpack_from(">i", frame, place)
        topics.append((name, list(struct.unpack_from(f">{many}i", frame, place + 4))))
        place += 4 + 4 * many
    kept = [topic for topic in topics if topic[0].decode() in forgotten]
    left = [topic for topic in topics if topic not in kept]
    listed = b"".join(
        struct.pack(">h", len(name)) + name + struct.pack(f">i{len(ids)}i", len(ids), *ids) for name, ids in left
    )
    return _framed(head + struct.pack(">i", len(left)) + listed), kept, bool(left)


def marked(frame: bytes) -> bytes:
    """Return the answer that every marker of a WriteTxnMarkers was written."""
    _api, version, correlation, client = struct.unpack_from(">hhih", frame, 4)
    request = Reader(frame[14 + max(client, 0) :], flexible=True)
    request.tags()

    def topic() -> bytes:
        name = request.text()
        partitions = request.many(lambda: struct.pack(">ih", request.number("i"), 0) + b"\0")
        request.tags()
        return compact_text(name) + compact_many(partitions) + b"\0"

    def marker() -> bytes:
        producer = struct.pack(">q", request.number("q"))
        request.number("h")
        request.number("b")
        topics = request.many(topic)
        request.number("i")
        if version > 1:
            request.number("b")
        request.tags()
        return producer + compact_many(topics) + b"\0"

    return _framed(struct.pack(">i", correlation) + b"\0" + compact_many(request.many(marker)) + b"\0")


class MarkingBroker(EmbeddedKafka):
    """A broker whose markers go through `network`; clients reach it at `bootstrap` as any other."""

    def __init__(self, folder: Path) -> None:
        """Prepare the broker, with a listener of its own for what brokers say to each other."""
        super().__init__(folder)
        port = free_port()
        self.network = ForgetfulNetwork(f"127.0.0.1:{port}")
        changes = {
            "listeners": f",INNER://127.0.0.1:{port}",
            "advertised.listeners": f",INNER://{self.network.bootstrap}",
            "listener.security.protocol.map": ",INNER:PLAINTEXT",
        }
        lines = []
        for line in self._settings.read_text().splitlines():
            name = line.partition("=")[0]
            inner = name == "inter.broker.listener.name"
            lines.append(f"{name}=INNER\n" if inner else f"{line}{changes.get(name, '')}\n")
        self._settings.write_text("".join(lines))

    def close(self) -> None:
        """Stop both for good."""
        super().close()
        self.network.close()


def _agreed(topics: Topics) -> bytes:
    """Return the part of an answer that says of each partition of *topics* that it was added."""
    return b"".join(
        struct.pack(">h", len(name))
        + name
        + struct.pack(">i", len(ids))
        + b"".join(struct.pack(">ih", one, 0) for one in ids)
        for name, ids in topics
    )


def _framed(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def hang(network: ForgetfulNetwork, topic: str, *, name: str, value: str = "first", sound: str) -> Producer:
    """Return a producer *name* whose transaction with *value* is committed on *sound*, and hangs on *topic*."""
    producer = Producer(
        {"bootstrap.servers": network.bootstrap, "transactional.id": name, "linger.ms": 0, "log_level": 0}
    )
    producer.init_transactions(_SECONDS)
    network.forgotten = {topic}
    producer.begin_transaction()
    for one in (topic, sound):
        producer.produce(one, value, partition=0)
    producer.commit_transaction(_SECONDS)
    network.forgotten = set()
    assert network.kept > 0
    return producer


@contextmanager
def unverified(bootstrap: str) -> Iterator[None]:
    """Have the brokers trust that a transaction's partitions were added; as before at the end."""
    _alter(bootstrap, AlterConfigOpType.SET, "false")
    try:
        yield
    finally:
        _alter(bootstrap, AlterConfigOpType.DELETE, None)


def _alter(bootstrap: str, operation: AlterConfigOpType, value: str | None) -> None:
    entry = ConfigEntry(_VERIFICATION, value, incremental_operation=operation)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for broker in admin.list_topics(timeout=10).brokers:
        resource = ConfigResource(ResourceType.BROKER, str(broker), incremental_configs=[entry])
        admin.incremental_alter_configs([resource])[resource].result(10)


@contextmanager
def forgetful(bootstrap: str) -> Iterator[ForgetfulNetwork]:
    """Give a network that forgets, before a broker that does not check."""
    with unverified(bootstrap):
        network = ForgetfulNetwork(bootstrap)
        try:
            yield network
        finally:
            network.close()
