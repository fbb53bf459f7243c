"""Hanging transactions, made on purpose: a proxy that keeps a topic from the coordinator, so that no marker is written.

Clients that start at the proxy stay with it. What they add of a *forgotten* topic never reaches the coordinator, and
they hear that it did: their records lie in the log, and whatever becomes of the transaction, its marker goes elsewhere.
The broker must not ask the coordinator about records of a transaction: `unverified` has it trust its clients.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # no __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.support.kafka_network import Api, read_frame
from tests.support.pump import Pump

_VERIFICATION = "transaction.partition.verification.enable"
# Answers that name a broker's address.
_ADDRESSES = frozenset({Api.METADATA, Api.FIND_COORDINATOR, Api.DESCRIBE_CLUSTER})
_SECONDS = 20
Topics = list[tuple[bytes, list[int]]]


class ForgetfulNetwork:
    """Listens on `bootstrap`, and keeps the topics in `forgotten` from the coordinator; `kept` counts how often.

    While `losing`, no EndTxn arrives; `lost` counts them.
    """

    def __init__(self, bootstrap: str) -> None:
        """Stand before the one broker at *bootstrap*."""
        host, _, port = bootstrap.rpartition(":")
        self.forgotten: set[str] = set()
        self.kept = 0
        self.losing = False
        self.lost = 0
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
            kept: Topics = []
            if api == Api.ADD_PARTITIONS_TO_TXN:
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
