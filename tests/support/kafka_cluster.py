"""Three brokers on this machine, as in production: three replicas, two in sync, and any one of them may be gone.

Each is broker and controller in one process. A node is its number, 1 to 3; they are stopped, killed and paused one by
one, and asked who leads what.
"""

import signal
import socket
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from devstack.kafka import EmbeddedKafka, alone, new_cluster_id
from devstack.processes import free_port
from tests.support.kafka_network import Api, read_frame
from tests.support.topics import TopicAdmin
from tests.support.waiting import wait_until

NODES = (1, 2, 3)
REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
}
TRANSACTION_LOG = "__transaction_state"


class KafkaCluster:
    """Three brokers, with data and ports that stay the same over stops and kills."""

    def __init__(self, folder: Path, *, voters: Sequence[int] = NODES) -> None:
        """Prepare three nodes below *folder*; *voters* are those without whose majority nobody decides who leads."""
        ports = {node: (free_port(), free_port()) for node in NODES}
        quorum = ",".join(f"{node}@127.0.0.1:{ports[node][1]}" for node in voters)
        cluster_id = new_cluster_id()

        def prepared(node: int) -> EmbeddedKafka:
            home = folder / f"node-{node}"
            home.mkdir()
            port, controller = ports[node]
            roles = "broker,controller" if node in voters else "broker"
            mine = {"node.id": str(node), "controller.quorum.voters": quorum, "process.roles": roles}
            listeners = {} if node in voters else {"listeners": f"CLIENT://127.0.0.1:{port}"}
            settings = {**alone(port, controller), **mine, **listeners, **REPLICATED}
            return EmbeddedKafka(home, port=port, settings=settings, cluster_id=cluster_id)

        with ThreadPoolExecutor() as pool:
            self._brokers = dict(zip(NODES, pool.map(prepared, NODES), strict=True))
        self._paused: set[int] = set()

    @classmethod
    def started(cls, folder: Path, *nodes: int, voters: Sequence[int] = NODES) -> Self:
        """Return three brokers that run, or of which only *nodes* do."""
        cluster = cls(folder, voters=voters)
        try:
            cluster.start(*nodes)
        except BaseException:
            cluster.close()
            raise
        return cluster

    @property
    def bootstrap(self) -> str:
        """Return the addresses for clients."""
        return ",".join(broker.bootstrap for broker in self._brokers.values())

    @property
    def running(self) -> list[int]:
        """Return the nodes that run and are not paused."""
        return [node for node, broker in self._brokers.items() if broker.running and node not in self._paused]

    # ---------------------------------------------------------------------------------------------- one by one

    def start(self, *nodes: int) -> None:
        """Start *nodes*, or all; side by side, for one alone has no majority."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: self._brokers[node].start(), nodes or NODES))

    def stop(self, node: int) -> None:
        """Stop *node* in order: it hands on what it leads."""
        self._brokers[node].stop()

    def kill(self, node: int) -> None:
        """Kill *node*; what it acknowledged is in the page cache, and so survives."""
        self._brokers[node].crash()

    def pause(self, node: int) -> None:
        """Stop the process of *node* in its tracks: it keeps its connections, and says nothing."""
        self._paused.add(node)
        self._brokers[node].send(signal.SIGSTOP)

    def resume(self, node: int) -> None:
        """Let a paused *node* go on."""
        self._brokers[node].send(signal.SIGCONT)
        self._paused.discard(node)

    def heal(self) -> None:
        """Have all nodes run, and every replica in sync."""
        for node in list(self._paused):
            self.resume(node)
        self.start()
        self.wait_until_in_sync()

    def close(self) -> None:
        """Stop all for good; killed, for nobody reads their data again."""
        for node in list(self._paused):
            self.resume(node)
        for broker in self._brokers.values():
            broker.crash()

    # ------------------------------------------------------------------------------------------ who leads what

    def leader_of(self, topic: str, partition: int) -> int:
        """Return the node that leads *partition* of *topic*, once one does."""

        def leader() -> int | None:
            found = self._topics()[topic].partitions[partition].leader
            return found if found in self.running else None

        return wait_until(leader, timeout_seconds=60, what=f"a leader of {topic}/{partition}")

    def partitions_of(self, topic: str) -> int:
        """Return how many partitions *topic* has."""
        return len(self._topics()[topic].partitions)

    def replication_of(self, topic: str) -> tuple[int, str]:
        """Return how many replicas *topic* has, and its `min.insync.replicas`."""
        partitions = self._topics()[topic].partitions.values()
        in_sync = TopicAdmin(self.bootstrap).config(topic)["min.insync.replicas"]
        return min(len(found.replicas) for found in partitions), in_sync

    def coordinator_of(self, transactional_id: str) -> int:
        """Return the node that coordinates the transactions of *transactional_id*, once one does."""

        def coordinator() -> int | None:
            found = self._find_coordinator(transactional_id)
            return found if found in self.running else None

        return wait_until(coordinator, timeout_seconds=60, what=f"a coordinator of {transactional_id}")

    def wait_until_in_sync(self) -> None:
        """Return once every partition has a leader, and every replica is in sync."""

        def behind() -> list[str]:
            return [
                f"{topic}/{number}"
                for topic, found in self._topics().items()
                for number, partition in found.partitions.items()
                if partition.leader < 0 or len(partition.isrs) < len(partition.replicas)
            ]

        def in_sync() -> bool:
            assert behind() == []
            return True

        wait_until(in_sync, timeout_seconds=90, what="every replica to be in sync")

    def _topics(self) -> dict[str, Any]:
        """Return every topic, as a node that runs has it; a client kept from before may wait for one that is gone."""
        addresses = ",".join(self._brokers[node].bootstrap for node in self.running)
        admin = AdminClient({"bootstrap.servers": addresses, "log_level": 0})
        try:
            return admin.list_topics(timeout=5).topics
        except KafkaException as error:
            raise AssertionError(f"no answer from {addresses}: {error}") from None

    def _find_coordinator(self, transactional_id: str) -> int:
        """Return the coordinator, as a node that runs says in answer to FindCoordinator, version 1; -1: none yet."""
        name = transactional_id.encode()
        request = struct.pack(">hhih", Api.FIND_COORDINATOR, 1, 0, 4) + b"test"
        request += struct.pack(">h", len(name)) + name + b"\x01"  # the kind of a transactional id
        try:
            port = self._brokers[self.running[0]].port
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(len(request).to_bytes(4) + request)
                answer = read_frame(connection)
        except OSError as error:
            raise AssertionError(f"no answer to FindCoordinator: {error}") from None
        assert answer is not None
        # Behind length, correlation and throttle time: the error, a text that may be absent, the node.
        code, said = struct.unpack_from(">hh", answer, 12)
        (node,) = struct.unpack_from(">i", answer, 16 + max(said, 0))
        return -1 if code else int(node)
