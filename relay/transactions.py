"""What Kafka knows of transactions: who has one open on a partition, what its coordinator knows, and ending one."""

import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from relay import answers
from relay.answers import Known, OpenTransaction
from relay.codec import Broker, Partition, Reader, compact_many, compact_text, many, text
from relay.errors import SinkUnavailableError
from relay.wire import Api, Wire

T = TypeVar("T")

# The client's, for a transaction without records: it is ended at once.
_TIMEOUT_MS = 15_000
_OF_TRANSACTIONS = 1  # the kind of coordinator
# Leader, coordinator or topic not there yet, coordinator loading, the transaction before not ended yet.
_PASSING = frozenset({3, 5, 6, 14, 15, 16, 51})
# Seconds that we ask again on these.
_PATIENCE = 20.0


class Transactions:
    """Asks the brokers about transactions."""

    def __init__(self, wire: Wire) -> None:
        """Ask over *wire*."""
        self._wire = wire

    @property
    def unable(self) -> str | None:
        """Return why these brokers cannot be asked; None if they can."""
        return self._wire.unable

    def partitions(self, topics: Iterable[str]) -> list[Partition]:
        """Return the partitions of those of *topics* that exist."""
        _, leaders = self._metadata(topics)
        return sorted(leaders)

    def topics(self, prefix: str) -> list[str]:
        """Return the topics whose name begins with *prefix*."""
        _, leaders = self._metadata(None)
        return sorted({topic for topic, _ in leaders if topic.startswith(prefix)})

    def open(self, partitions: Iterable[Partition]) -> list[OpenTransaction]:
        """Return the transactions that their leaders have open on *partitions*; none for those that do not exist."""
        wanted = set(partitions)
        brokers, leaders = self._metadata({topic for topic, _ in wanted})
        by_leader: dict[int, list[Partition]] = defaultdict(list)
        for place in sorted(wanted & set(leaders)):
            by_leader[leaders[place]].append(place)
        found: list[OpenTransaction] = []
        for leader, places in by_leader.items():
            if leader not in brokers:
                raise SinkUnavailableError(f"{places[0][0]}/{places[0][1]} has no leader")
            found += self._producers(brokers[leader], places)
        return [one for one in found if one.start_offset >= 0]

    def known(self, producer_ids: Iterable[int]) -> dict[int, Known]:
        """Return, by producer id, what the coordinators know of the transactional ids that *producer_ids* belong to."""
        wanted = compact_many([struct.pack(">q", one) for one in sorted(set(producer_ids))])
        brokers, _ = self._metadata(())
        names: set[str] = set()
        body = compact_many([]) + wanted + b"\0"
        for broker in brokers.values():
            ask = partial(self._wire.ask, Api.LIST_TRANSACTIONS, body, answers.listed, broker=broker)
            names |= _patiently("the list of transactions", ask)
        described = [self.describe(name) for name in sorted(names)]
        return {one.producer_id: one for one in described if one is not None}

    def describe(self, transactional_id: str) -> Known | None:
        """Return what its coordinator knows of *transactional_id*; None if it does not know it."""
        body = compact_many([compact_text(transactional_id)]) + b"\0"
        return _patiently(
            f"transactional id {transactional_id}",
            lambda: self._at_coordinator(transactional_id, Api.DESCRIBE_TRANSACTIONS, body, answers.described),
        )

    def end(self, transactional_id: str, partitions: Sequence[Partition], *, producer_id: int, commit: bool) -> None:
        """End a transaction without records on *partitions*: its markers end what *producer_id* has open there.

        It fences whoever writes under *transactional_id*: hold the lease. Raise before anything is ended if that id has
        another producer id by now, for then its markers would end nothing.
        """
        who = text(transactional_id)

        def ask(what: str, api: Api, body: bytes, read: Callable[[Reader], tuple[int, T]]) -> T:
            return _patiently(what, lambda: self._at_coordinator(transactional_id, api, body, read))

        begin = who + struct.pack(">i", _TIMEOUT_MS)
        found, epoch = ask(f"a producer for {transactional_id}", Api.INIT_PRODUCER_ID, begin, answers.producer)
        if found != producer_id:
            raise SinkUnavailableError(
                f"expected {transactional_id} to have producer id {producer_id} still, got {found}: Kafka forgot it"
            )
        producer = who + struct.pack(">qh", found, epoch)
        added = producer + _grouped(partitions)
        ask(f"partitions for {transactional_id}", Api.ADD_PARTITIONS_TO_TXN, added, answers.added)
        ask(f"the end of {transactional_id}", Api.END_TXN, producer + bytes([commit]), answers.ended)

    def mark(self, found: OpenTransaction, *, commit: bool) -> None:
        """Write the marker of *found* as a broker would; needs ClusterAction, and no transactional id."""
        topics = compact_many([compact_text(found.topic) + compact_many([struct.pack(">i", found.partition)]) + b"\0"])
        head = struct.pack(">qh?", found.producer_id, found.producer_epoch, commit)
        tail = struct.pack(">i", max(found.coordinator_epoch, 0)) + b"\0"
        body = compact_many([head + topics + tail]) + b"\0"
        brokers, leaders = self._metadata([found.topic])
        leader = brokers[leaders[found.place]]
        _patiently(
            f"a marker on {found.topic}/{found.partition}",
            lambda: self._wire.ask(Api.WRITE_TXN_MARKERS, body, answers.marked, broker=leader),
        )

    def _producers(self, broker: Broker, places: Sequence[Partition]) -> list[OpenTransaction]:
        body = _grouped(places, flexible=True) + b"\0"
        return _patiently(
            f"the producers of {places[0][0]}",
            lambda: self._wire.ask(Api.DESCRIBE_PRODUCERS, body, answers.active, broker=broker),
        )

    def _metadata(self, topics: Iterable[str] | None) -> tuple[dict[int, Broker], dict[Partition, int]]:
        """Return where the brokers are, and who leads the partitions of *topics*; None for all of them."""
        listed = struct.pack(">i", -1) if topics is None else many([text(topic) for topic in sorted(topics)])
        body = listed + b"\0"  # the last: do not create them
        return self._wire.ask(Api.METADATA, body, answers.cluster)

    def _at_coordinator(self, name: str, api: Api, body: bytes, read: Callable[[Reader], T]) -> T:
        where = text(name) + bytes([_OF_TRANSACTIONS])
        broker = _patiently(
            f"the coordinator of {name}", lambda: self._wire.ask(Api.FIND_COORDINATOR, where, answers.coordinator)
        )
        return self._wire.ask(api, body, read, broker=broker)


def _patiently(what: str, ask: Callable[[], tuple[int, T]]) -> T:
    """Return what *ask* answers, once it is not an error that passes; raise SinkUnavailableError for any other."""
    deadline, pause = time.monotonic() + _PATIENCE, threading.Event()
    code, found = ask()
    while code in _PASSING and time.monotonic() < deadline:
        pause.wait(0.1)
        code, found = ask()
    if code:
        raise SinkUnavailableError(f"{what}: Kafka's error {code}")
    return found


def _grouped(places: Sequence[Partition], *, flexible: bool = False) -> bytes:
    """Return topics and partitions as requests have them."""
    topics: dict[str, list[bytes]] = defaultdict(list)
    for topic, partition in places:
        topics[topic].append(struct.pack(">i", partition))
    if flexible:
        return compact_many([compact_text(name) + compact_many(ids) + b"\0" for name, ids in topics.items()])
    return many([text(name) + many(ids) for name, ids in topics.items()])
