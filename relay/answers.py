"""The answers to the requests of `transactions.py`, taken apart: an error code (0: none), and what was found."""

from collections.abc import Iterable
from dataclasses import dataclass

from relay.codec import Broker, Partition, Reader

# The coordinator's states in which it still has something to do on the transaction's partitions.
UNDER_WAY = frozenset({"Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence"})
_UNKNOWN_ID = 105


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that a partition has open: no reader of what is committed passes *start_offset*."""

    topic: str
    partition: int
    producer_id: int
    producer_epoch: int
    start_offset: int
    last_ms: int
    coordinator_epoch: int
    last_sequence: int  # of its records on the partition, counted from 0 in each epoch of the producer

    @property
    def place(self) -> Partition:
        """Return which partition."""
        return self.topic, self.partition


@dataclass(frozen=True, slots=True)
class Known:
    """What the coordinator knows of a transactional id."""

    transactional_id: str
    state: str
    producer_id: int
    producer_epoch: int
    partitions: frozenset[Partition]

    def carries(self, found: OpenTransaction) -> bool:
        """Return whether *found* is under way, so that its client or the coordinator will end it."""
        same = self.producer_id == found.producer_id and self.state in UNDER_WAY
        return same and found.place in self.partitions


def cluster(answer: Reader) -> tuple[dict[int, Broker], dict[Partition, int]]:
    """Return where the brokers are, and who leads each partition."""
    answer.number("i")  # how long we were throttled
    brokers: dict[int, Broker] = {}
    leaders: dict[Partition, int] = {}

    def broker() -> None:
        number, host, port = answer.number("i"), answer.text(), answer.number("i")
        brokers[number] = (host, port)
        answer.text()

    def partition(topic: str) -> None:
        answer.number("h")
        number, leader = answer.number("i"), answer.number("i")
        leaders[topic, number] = leader
        for _ in ("replicas", "in sync"):
            answer.many(lambda: answer.number("i"))

    def topic() -> None:
        answer.number("h")
        name = answer.text()
        answer.number("b")
        answer.many(lambda: partition(name))

    answer.many(broker)
    answer.text()
    answer.number("i")
    answer.many(topic)
    return brokers, leaders


def coordinator(answer: Reader) -> tuple[int, Broker]:
    """Return the error, and which broker it is."""
    answer.number("i")
    code, _, _ = answer.number("h"), answer.text(), answer.number("i")
    return code, (answer.text(), answer.number("i"))


def producer(answer: Reader) -> tuple[int, tuple[int, int]]:
    """Return the error, and producer id and epoch."""
    answer.number("i")
    return answer.number("h"), (answer.number("q"), answer.number("h"))


def added(answer: Reader) -> tuple[int, None]:
    """Return the first error of a partition."""
    answer.number("i")

    def partition() -> int:
        answer.number("i")
        return answer.number("h")

    def topic() -> int:
        answer.text()
        return _first(answer.many(partition))

    return _first(answer.many(topic)), None


def ended(answer: Reader) -> tuple[int, None]:
    """Return the error."""
    answer.number("i")
    return answer.number("h"), None


def active(answer: Reader) -> tuple[int, list[OpenTransaction]]:
    """Return the first error of a partition, and every producer that has written lately."""
    answer.number("i")
    worst = 0
    found: list[OpenTransaction] = []

    def producer(topic: str, partition: int) -> None:
        who, epoch = answer.number("q"), answer.number("i")
        sequence = answer.number("i")
        last, coordinator, start = answer.number("q"), answer.number("i"), answer.number("q")
        answer.tags()
        found.append(OpenTransaction(topic, partition, who, epoch, start, last, coordinator, sequence))

    def partition(topic: str) -> None:
        nonlocal worst
        number, code = answer.number("i"), answer.number("h")
        answer.text()
        answer.many(lambda: producer(topic, number))
        answer.tags()
        worst = worst or code

    def topic() -> None:
        name = answer.text()
        answer.many(lambda: partition(name))
        answer.tags()

    answer.many(topic)
    return worst, found


def listed(answer: Reader) -> tuple[int, set[str]]:
    """Return the error, and the transactional ids."""
    answer.number("i")
    code = answer.number("h")
    answer.many(answer.text)

    def one() -> str:
        name = answer.text()
        answer.number("q")
        answer.text()
        answer.tags()
        return name

    return code, set(answer.many(one))


def described(answer: Reader) -> tuple[int, Known | None]:
    """Return the error, and what is known; nothing of an id that is not."""
    answer.number("i")

    def topic() -> list[Partition]:
        name = answer.text()
        found = [(name, number) for number in answer.many(lambda: answer.number("i"))]
        answer.tags()
        return found

    def one() -> tuple[int, Known | None]:
        code, name, state = answer.number("h"), answer.text(), answer.text()
        answer.number("i")
        answer.number("q")
        who, epoch = answer.number("q"), answer.number("h")
        places = frozenset(place for places in answer.many(topic) for place in places)
        answer.tags()
        known = Known(name, state, who, epoch, places)
        return (0, None) if code == _UNKNOWN_ID else (code, known)

    return answer.many(one)[0]


def marked(answer: Reader) -> tuple[int, None]:
    """Return the first error of a partition."""

    def partition() -> int:
        answer.number("i")
        code = answer.number("h")
        answer.tags()
        return code

    def topic() -> int:
        answer.text()
        code = _first(answer.many(partition))
        answer.tags()
        return code

    def marker() -> int:
        answer.number("q")
        code = _first(answer.many(topic))
        answer.tags()
        return code

    return _first(answer.many(marker)), None


def _first(codes: Iterable[int]) -> int:
    """Return the first that is an error."""
    return next((code for code in codes if code), 0)
