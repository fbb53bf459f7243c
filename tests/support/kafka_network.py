"""A network between clients and one broker that understands Kafka's frames, and does to them what networks do.

A fault is given by API key and count: a request or an answer that is lost or late, a connection that is reset, a
request that arrives late, or twice, on another connection. Clients that start at the proxy stay with it: either the
broker advertises the proxy's address on a listener of its own (`ProxiedKafka`), or, before any other broker, the proxy
puts its own address in the place of the broker's in the answers that name one (`KafkaNetwork.before`).
"""

import contextlib
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from pathlib import Path
from typing import Self

from devstack.kafka import EmbeddedKafka
from devstack.processes import free_port
from tests.support.pump import Pump, later, read_exactly, shut

__all__ = ["Action", "Api", "Fault", "Injected", "KafkaNetwork", "ProxiedKafka", "read_exactly", "read_frame", "shut"]


class Api(IntEnum):
    """Kafka's numbers of the requests that a transaction is made of."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    FIND_COORDINATOR = 10
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    END_TXN = 26
    WRITE_TXN_MARKERS = 27
    DESCRIBE_CLUSTER = 60


class Action(Enum):
    """What happens to a request, or to its answer."""

    LOSE_REQUEST = "lose-request"  # the broker never sees it; the client waits until its timeout
    LOSE_ANSWER = "lose-answer"  # the broker did it; the client waits until its timeout
    RESET_REQUEST = "reset-request"  # the connection breaks before the broker sees it
    RESET_ANSWER = "reset-answer"  # the broker did it, and the connection breaks instead of the answer
    HOLD_REQUEST = "hold-request"  # it arrives `seconds` later, on another connection; the client waits
    HOLD_AND_RESET = "hold-and-reset"  # the same, and the client finds the connection broken and tries again
    HOLD_ANSWER = "hold-answer"  # the answer arrives `seconds` later
    DUPLICATE = "duplicate"  # it arrives, and once more `seconds` later, on another connection
    REFUSE = "refuse"  # of PRODUCE only: answered with NOT_LEADER_OR_FOLLOWER, as by a leader that is not ready yet


_ON_ANSWERS = frozenset({Action.LOSE_ANSWER, Action.RESET_ANSWER, Action.HOLD_ANSWER})
_ON_ANOTHER_CONNECTION = frozenset({Action.HOLD_REQUEST, Action.HOLD_AND_RESET, Action.DUPLICATE})
# Whose answers say where a broker is.
_ADDRESSES = frozenset({Api.METADATA, Api.FIND_COORDINATOR, Api.DESCRIBE_CLUSTER})


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to *times* requests of one API, after the first *after* of them."""

    api: Api
    action: Action
    times: int = 1
    after: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Injected:
    """A fault that is about to happen, or has: `fired` counts requests, `answered` the broker's answers to them."""

    fault: Fault
    matched: int = field(default=0)
    fired: int = field(default=0)
    answered: int = field(default=0)

    def take(self) -> bool:
        """Return whether this request is one that it happens to."""
        self.matched += 1
        if self.matched <= self.fault.after or self.over:
            return False
        self.fired += 1
        return True

    @property
    def over(self) -> bool:
        """Return whether it has happened as often as it should."""
        return self.fired >= self.fault.times


class KafkaNetwork:
    """Listens on `bootstrap`, and passes everything on to the broker, but for the faults injected."""

    def __init__(self, upstream: int, *, host: str = "127.0.0.1", rewriting: bool = False) -> None:
        """Listen; the broker is, or will be, at *upstream*. *rewriting*: it advertises that address, not ours."""
        self.seen: Counter[int] = Counter()
        self.late: list[bytes] = []  # the answers to what was delivered late
        self._injected: list[Injected] = []
        self._lock = threading.Lock()
        self._pump = Pump(
            (host, upstream), lambda client, broker: _Connection(self, client, broker), name="kafka-network"
        )
        self.bootstrap = f"127.0.0.1:{self._pump.port}"
        self._theirs = host.encode() + struct.pack(">i", upstream) if rewriting else b""
        self._ours = b"127.0.0.1" + struct.pack(">i", self._pump.port)
        if rewriting and len(self._theirs) != len(self._ours):
            raise ValueError(f"expected a host as long as 127.0.0.1, for lengths stay as they are, got {host!r}")

    @classmethod
    def before(cls, bootstrap: str) -> Self:
        """Return a network before the one broker at *bootstrap*, which advertises that address."""
        host, _, port = bootstrap.rpartition(":")
        return cls(int(port), host=host, rewriting=True)

    def inject(self, fault: Fault) -> Injected:
        """Have *fault* happen from now on, and return what counts it."""
        injected = Injected(fault)
        with self._lock:
            self._injected.append(injected)
        return injected

    def calm(self) -> None:
        """Have no more faults happen."""
        with self._lock:
            self._injected.clear()

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

    def fault_for(self, api: int) -> Injected | None:
        """Return what happens to this request of *api*."""
        with self._lock:
            self.seen[api] += 1
            return next((one for one in self._injected if one.fault.api == api and one.take()), None)

    def deliver_later(self, frame: bytes, seconds: float) -> None:
        """Send *frame* to the broker in *seconds*, on a connection of its own."""
        later(seconds, lambda: self._deliver(frame))

    def readdressed(self, api: int, answer: bytes) -> bytes:
        """Return *answer* with our address in the place of the broker's."""
        if self._theirs and api in _ADDRESSES:
            return answer.replace(self._theirs, self._ours)
        return answer

    def _deliver(self, frame: bytes) -> None:
        with contextlib.suppress(OSError), self._pump.connect() as broker:
            broker.sendall(frame)
            if (answer := read_frame(broker)) is not None:
                self.late.append(answer)


class _Connection:
    """One client, its connection to the broker, and which requests' answers something happens to."""

    def __init__(self, network: KafkaNetwork, client: socket.socket, broker: socket.socket) -> None:
        self._network = network
        self._client = client
        self._broker = broker
        self._waiting: dict[int, tuple[int, Injected | None]] = {}

    def requests(self) -> None:
        """Pass requests on until the connection ends."""
        while (frame := read_frame(self._client)) is not None:
            api, _version, correlation = struct.unpack_from(">hhi", frame, 4)
            injected = self._network.fault_for(api)
            fault = injected.fault if injected is not None else None
            if fault is None or fault.action in _ON_ANSWERS or fault.action is Action.DUPLICATE:
                self._waiting[correlation] = (api, injected)
                self._broker.sendall(frame)
            if fault is None or fault.action in _ON_ANSWERS:
                continue
            if fault.action is Action.REFUSE:
                self._client.sendall(refused(frame))
            if fault.action in _ON_ANOTHER_CONNECTION:
                self._network.deliver_later(frame, fault.seconds)
            if fault.action in (Action.RESET_REQUEST, Action.HOLD_AND_RESET):
                return

    def answers(self) -> None:
        """Pass answers on until the connection ends."""
        while (frame := read_frame(self._broker)) is not None:
            (correlation,) = struct.unpack_from(">i", frame, 4)
            api, injected = self._waiting.pop(correlation, (-1, None))
            frame = self._network.readdressed(api, frame)
            if injected is None:
                self._client.sendall(frame)
                continue
            injected.answered += 1
            if injected.fault.action is Action.RESET_ANSWER:
                return
            if injected.fault.action is Action.HOLD_ANSWER:
                self._answer_later(frame, injected.fault.seconds)
            if injected.fault.action is Action.DUPLICATE:
                self._client.sendall(frame)

    def _answer_later(self, frame: bytes, seconds: float) -> None:
        def answer() -> None:
            with contextlib.suppress(OSError):
                self._client.sendall(frame)

        later(seconds, answer)


def refused(produce: bytes) -> bytes:
    """Return the answer NOT_LEADER_OR_FOLLOWER to a Produce request, version 9 to 11, of one partition."""
    correlation, client = struct.unpack_from(">ih", produce, 8)
    transactional_id, place = _compact(produce, 14 + max(client, 0) + 1)  # behind the client's name and no tags
    topic, place = _compact(produce, place + 6 + 1)  # behind acks, the timeout and the number of topics
    del transactional_id
    partition = produce[place + 1 : place + 5]
    outcome = partition + struct.pack(">hqqq", 6, -1, -1, -1) + b"\x01\x00\x00"  # no record errors, message, tags
    name = bytes([len(topic) + 1]) + topic
    body = struct.pack(">i", correlation) + b"\x00\x02" + name + b"\x02" + outcome + b"\x00" + bytes(4) + b"\x00"
    return len(body).to_bytes(4) + body


def _compact(frame: bytes, place: int) -> tuple[bytes, int]:
    """Return the compact string at *place* (shorter than 127 bytes), and where it ends."""
    length = frame[place] - 1
    assert 0 <= length < 127, frame[place]
    return frame[place + 1 : place + 1 + length], place + 1 + length


def read_frame(connection: socket.socket) -> bytes | None:
    """Return the next frame with its length before it; None at the end of the connection."""
    head = read_exactly(connection, 4)
    if head is None:
        return None
    body = read_exactly(connection, int.from_bytes(head))
    return None if body is None else head + body


class ProxiedKafka(EmbeddedKafka):
    """A broker with a second way in, which leads through `network`; the first is `bootstrap`, without faults."""

    def __init__(self, folder: Path) -> None:
        """Prepare the broker, and a listener that advertises the proxy's address."""
        super().__init__(folder)
        port = free_port()
        self.network = KafkaNetwork(port)
        more = {
            "listeners": f"PROXIED://127.0.0.1:{port}",
            "advertised.listeners": f"PROXIED://{self.network.bootstrap}",
            "listener.security.protocol.map": "PROXIED:PLAINTEXT",
        }
        settings = [line.partition("=") for line in self._settings.read_text().splitlines()]
        self._settings.write_text(
            "".join(
                f"{name}={value},{more[name]}\n" if name in more else f"{name}={value}\n" for name, _, value in settings
            )
        )

    @classmethod
    def started(cls, folder: Path) -> Self:
        """Return a running broker."""
        broker = cls(folder)
        broker.start()
        return broker

    def close(self) -> None:
        """Stop both for good."""
        super().close()
        self.network.close()
