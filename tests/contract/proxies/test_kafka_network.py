"""Each fault of the Kafka proxy really happens, and to that request alone: seen from both ends of it."""

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from tests.support.kafka_network import Action, Api, Fault, KafkaNetwork, read_frame, refused, shut
from tests.support.waiting import wait_until

LATE = 0.3


class Broker:
    """Answers every frame with its correlation id and what it was told; keeps what it got, by connection."""

    def __init__(self) -> None:
        self.got: list[tuple[int, int, int]] = []  # number of the connection, API, correlation id
        self.says = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in (self._listener, *self._connections):
            shut(one)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(len(self._connections), connection), daemon=True).start()

    def _serve(self, number: int, connection: socket.socket) -> None:
        while (frame := read_frame(connection)) is not None:
            api, _, correlation = struct.unpack_from(">hhi", frame, 4)
            self.got.append((number, api, correlation))
            body = struct.pack(">i", correlation) + self.says
            connection.sendall(len(body).to_bytes(4) + body)


class Client:
    """Sends requests without a body."""

    def __init__(self, network: KafkaNetwork) -> None:
        host, _, port = network.bootstrap.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=5)

    def ask(self, api: Api, correlation: int) -> None:
        body = struct.pack(">hhi", api, 0, correlation)
        self._socket.sendall(len(body).to_bytes(4) + body)

    def answer(self) -> int | None:
        """Return the correlation id of the next answer; None if the connection broke."""
        try:
            frame = read_frame(self._socket)
        except ConnectionError:
            return None
        return None if frame is None else int(struct.unpack_from(">i", frame, 4)[0])

    def close(self) -> None:
        shut(self._socket)


@pytest.fixture
def broker() -> Iterator[Broker]:
    started = Broker()
    yield started
    started.close()


@pytest.fixture
def network(broker: Broker) -> Iterator[KafkaNetwork]:
    made = KafkaNetwork(broker.port)
    yield made
    made.close()


@pytest.fixture
def client(network: KafkaNetwork) -> Iterator[Client]:
    connected = Client(network)
    yield connected
    connected.close()


def apis(broker: Broker) -> list[int]:
    return [api for _, api, _ in broker.got]


def test_without_a_fault_everything_passes(broker: Broker, client: Client, network: KafkaNetwork) -> None:
    client.ask(Api.END_TXN, 7)

    assert client.answer() == 7
    assert broker.got == [(1, Api.END_TXN, 7)]
    assert network.seen == {Api.END_TXN: 1}


@pytest.mark.parametrize(
    "api", [Api.PRODUCE, Api.FIND_COORDINATOR, Api.INIT_PRODUCER_ID, Api.ADD_PARTITIONS_TO_TXN, Api.END_TXN]
)
def test_a_fault_is_of_one_api_and_counted(api: Api, broker: Broker, client: Client, network: KafkaNetwork) -> None:
    injected = network.inject(Fault(api, Action.LOSE_REQUEST, times=2, after=1))

    for correlation in range(1, 5):
        client.ask(api, correlation)
        client.ask(Api.METADATA, 100 + correlation)

    assert [client.answer() for _ in range(6)] == [1, 101, 102, 103, 4, 104]
    assert (injected.fired, injected.over) == (2, True)
    assert apis(broker).count(api) == 2


def test_a_lost_answer_is_of_a_request_that_was_carried_out(
    broker: Broker, client: Client, network: KafkaNetwork
) -> None:
    injected = network.inject(Fault(Api.END_TXN, Action.LOSE_ANSWER))

    client.ask(Api.END_TXN, 1)
    client.ask(Api.METADATA, 2)

    assert client.answer() == 2
    assert broker.got == [(1, Api.END_TXN, 1), (1, Api.METADATA, 2)]
    assert injected.answered == 1


def test_a_reset_request_never_arrives_and_breaks_the_connection(
    broker: Broker, client: Client, network: KafkaNetwork
) -> None:
    network.inject(Fault(Api.END_TXN, Action.RESET_REQUEST))

    client.ask(Api.END_TXN, 1)

    assert client.answer() is None
    assert broker.got == []


def test_a_reset_answer_breaks_the_connection_after_the_request_was_carried_out(
    broker: Broker, client: Client, network: KafkaNetwork
) -> None:
    network.inject(Fault(Api.END_TXN, Action.RESET_ANSWER))

    client.ask(Api.END_TXN, 1)

    assert client.answer() is None
    assert broker.got == [(1, Api.END_TXN, 1)]


def test_a_held_request_arrives_late_on_another_connection(
    broker: Broker, client: Client, network: KafkaNetwork
) -> None:
    network.inject(Fault(Api.END_TXN, Action.HOLD_REQUEST, seconds=LATE))

    client.ask(Api.END_TXN, 1)
    client.ask(Api.METADATA, 2)

    assert client.answer() == 2, "the client waits, and its connection goes on"
    assert broker.got == [(1, Api.METADATA, 2)]
    wait_until(lambda: network.late, timeout_seconds=10, what="the late answer")
    assert broker.got[1:] == [(2, Api.END_TXN, 1)]


def test_a_held_request_may_break_the_connection_too(broker: Broker, client: Client, network: KafkaNetwork) -> None:
    network.inject(Fault(Api.END_TXN, Action.HOLD_AND_RESET, seconds=LATE))

    client.ask(Api.END_TXN, 1)

    assert client.answer() is None
    assert broker.got == []
    wait_until(lambda: network.late, timeout_seconds=10, what="the late answer")
    assert broker.got == [(2, Api.END_TXN, 1)]


def test_a_held_answer_comes_late(broker: Broker, client: Client, network: KafkaNetwork) -> None:
    network.inject(Fault(Api.PRODUCE, Action.HOLD_ANSWER, seconds=LATE))

    client.ask(Api.PRODUCE, 1)
    client.ask(Api.METADATA, 2)

    assert [client.answer(), client.answer()] == [2, 1]
    assert apis(broker) == [Api.PRODUCE, Api.METADATA]


def test_a_duplicate_arrives_on_two_connections_and_is_answered_once(
    broker: Broker, client: Client, network: KafkaNetwork
) -> None:
    network.inject(Fault(Api.END_TXN, Action.DUPLICATE))

    client.ask(Api.END_TXN, 1)
    client.ask(Api.METADATA, 2)

    assert [client.answer(), client.answer()] == [1, 2]
    wait_until(lambda: network.late, timeout_seconds=10, what="the answer to the second")
    assert sorted(broker.got) == [(1, Api.METADATA, 2), (1, Api.END_TXN, 1), (2, Api.END_TXN, 1)]


def test_every_connection_can_be_cut_and_new_ones_are_taken(client: Client, network: KafkaNetwork) -> None:
    client.ask(Api.METADATA, 1)
    assert client.answer() == 1

    assert network.cut_all() == 1

    assert client.answer() is None
    again = Client(network)
    again.ask(Api.METADATA, 2)
    assert again.answer() == 2
    again.close()


def test_a_calm_network_passes_everything(client: Client, network: KafkaNetwork) -> None:
    network.inject(Fault(Api.END_TXN, Action.LOSE_REQUEST))

    network.calm()

    client.ask(Api.END_TXN, 1)
    assert client.answer() == 1


def test_only_answers_that_name_the_broker_are_rewritten(broker: Broker) -> None:
    network = KafkaNetwork.before(f"127.0.0.1:{broker.port}")
    own = b"127.0.0.1" + struct.pack(">i", int(network.bootstrap.rpartition(":")[2]))
    broker.says = b"127.0.0.1" + struct.pack(">i", broker.port)
    client = Client(network)
    said = []

    for api in (Api.METADATA, Api.FIND_COORDINATOR, Api.PRODUCE):
        client.ask(api, 1)
        frame = read_frame(client._socket)
        assert frame is not None
        said.append(frame[8:])

    assert said == [own, own, broker.says]
    client.close()
    network.close()


def test_a_refused_produce_names_topic_and_partition() -> None:
    name = b"\x00\x01c\x00"  # the client's name, no tags
    request = struct.pack(">hhi", Api.PRODUCE, 10, 42) + name + b"\x04txn" + b"\xff\xff" + bytes(4) + b"\x02"
    request += b"\x06topic" + b"\x02" + struct.pack(">i", 3)

    answer = refused(len(request).to_bytes(4) + request)

    assert int.from_bytes(answer[:4]) == len(answer) - 4
    assert answer[4:8] == struct.pack(">i", 42)
    assert b"\x06topic\x02" + struct.pack(">ih", 3, 6) in answer
