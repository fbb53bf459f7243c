"""PostgreSQL and Kafka as the relay's modules see them, in memory: they note the order of what is asked of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from outbox.envelope import Envelope, Record, StoredEvent
from relay.errors import RecordRefusedError, RelayError
from relay.lease import Batch, Installation, ServerFacts, Term
from relay.machine import Evidence
from relay.patience import Patience
from relay.progress import LastRecord
from relay.publisher import Publisher
from relay.topics import TopicFacts, Topics
from relay.window import Position, Row, Window

if TYPE_CHECKING:
    from relay.leases import Session

INSTALLATION = Installation(install="i", gen=1, sysid=7, shards=1)
FACTS = ServerFacts(version=180000, recovering=False, sysid=7, cache=1, backend_pid=1, connected_pid=1)
TERM = Term(shard=0, epoch=5, bootstrapped=True, pruned_seq=0, confirmed_seq=0)
CLEAN = Evidence(("NO_ERROR",), 0.1)


def window(seq: int) -> Window:
    return Window(seq=seq, a="3:5:", b="3:9:", lo=0, olds=(), n=9)


def position(seq: int, last_id: int | None = None) -> Position:
    return Position(seq=seq, a="3:5:", b="3:9:", last_id=last_id)


def rows(*ids: int) -> tuple[Row, ...]:
    return tuple(Row(number, StoredEvent(f"e{number}", "t", "k", "happened", "{}", None, None, "")) for number in ids)


def records_of(some: tuple[Row, ...]) -> dict[int, Record]:
    return {row.id: Record("topic", b"k", str(row.id).encode(), ()) for row in some}


class Stop:
    """Nobody asks us to stop."""

    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> bool:
        return seconds < 0


def emit(event: str, **facts: object) -> None:
    """Tell nobody."""


@dataclass
class FakeSession:
    """A session; *asked* is what was asked of it, in order, together with a sink that shares the list."""

    asked: list[str] = field(default_factory=list)
    server: ServerFacts = FACTS
    named: Installation = INSTALLATION
    batches: dict[int, Batch] = field(default_factory=dict)
    mirrored: dict[str, Any] = field(default_factory=dict)
    refusing: dict[str, RelayError] = field(default_factory=dict)
    connection: Any = field(default_factory=lambda: SimpleNamespace(info=SimpleNamespace(backend_pid=1)))

    def facts(self) -> ServerFacts:
        return self.server

    def installation(self) -> Installation:
        return self.named

    def any_bootstrapped(self) -> bool:
        return True

    def check(self, term: Term) -> None:
        self._ask(f"check {term.epoch}")

    def write_barrier(self, term: Term, window: Window) -> None:
        self._ask(f"barrier {term.epoch}/{window.seq}")

    def mark_bootstrapped(self, term: Term) -> None:
        self._ask(f"bootstrapped {term.shard}")

    def batch(self, shard: int, seq: int) -> Batch | None:
        return self.batches.get(seq + shard)

    def row(self, name: str, **parameters: object) -> dict[str, Any] | None:
        return self.mirrored if name == "mirror" and parameters else None

    def current_snapshot(self) -> str:
        return "99:99:"

    def clear_halt(self, term: Term) -> None:
        """Forget nothing."""

    def note_halt(self, shard: int, *, epoch: int | None, reason: str) -> None:
        self._ask(f"halted {shard} {epoch}: {reason}")

    def close(self) -> None:
        self._ask("closed")

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if error := self.refusing.get(what.partition(" ")[0]):
            raise error


@dataclass
class FakeSink:
    """A sink; a record whose value is in *refused* is not taken."""

    asked: list[str] = field(default_factory=list)
    refused: set[bytes] = field(default_factory=set)
    evidence: Evidence = CLEAN
    largest: int = 1_000_000
    batch: int = 1_000_000
    progress: list[bytes] = field(default_factory=list)

    def initialise(self, seconds: float) -> bool:
        self.asked.append("initialise")
        return seconds > 0

    def refusal(self, record: Record) -> RecordRefusedError | None:
        return RecordRefusedError(10, "too large") if len(record.value) > self.largest else None

    def begin(self) -> None:
        self.asked.append("begin")

    def produce(self, record: Record) -> None:
        if record.value in self.refused:
            raise RecordRefusedError(10, "too large")
        self.asked.append(f"produce {record.value.decode()}")

    def produce_progress(self, key: bytes, value: bytes) -> None:
        self.asked.append(f"progress {key.decode()}")
        self.progress.append(value)

    def commit(self, records: dict[int, Record], *, patient: bool = False) -> Evidence:
        self.asked.append(f"commit {len(records)}" + (" patiently" if patient else ""))
        return self.evidence

    def abort(self) -> None:
        self.asked.append("abort")

    def close(self) -> None:
        self.asked.append("close")


class CountingEnvelope:
    """An envelope that notes what it encodes."""

    name = "counting"

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, event: StoredEvent) -> Record:
        self.encoded.append(event.event_id)
        return Record("topic", b"k", event.event_id.encode(), ())


@dataclass
class FakeReader:
    """A reader of the progress partition, which holds *last*."""

    record: LastRecord = field(default_factory=lambda: LastRecord(None))

    def last(self) -> LastRecord:
        return self.record

    def warm_up(self) -> None:
        """Know everything already."""

    def close(self) -> None:
        """Hold nothing."""


@dataclass
class FakeTopics:
    """Topics; *described* is what each is like, and one that is made is noted."""

    described_as: dict[str, TopicFacts] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    largest: int = 1_000_000
    batch: int = 1_000_000

    def describe(self, topic: str) -> TopicFacts | None:
        return self.described_as.get(topic)

    def known(self, topic: str) -> bool:
        return bool(topic)

    def described(self, topic: str) -> TopicFacts | None:
        return self.described_as.get(topic)

    def create(self, topic: str, *, partitions: int, settings: dict[str, str]) -> None:
        self.made.append(f"{topic} {partitions} {settings['cleanup.policy']}")


def progress_topic(*, partitions: int = 1, policy: str = "compact") -> FakeTopics:
    facts = TopicFacts(partitions=partitions, replication=1, settings={"cleanup.policy": policy})
    return FakeTopics({INSTALLATION.progress_topic: facts})


@contextmanager
def patience(feel: Callable[[], None] = lambda: None) -> Iterator[Patience]:
    """Give a patience whose thread ends with the block."""
    waiting = Patience("test", Stop(), lambda: 0.0, feel)
    try:
        yield waiting
    finally:
        waiting.background.close(5)


@contextmanager
def publishing(
    session: FakeSession, sink: FakeSink, *, term: Term = TERM, envelope: Envelope | None = None
) -> Iterator[Publisher]:
    """Give a publisher on *session* and *sink*."""
    with patience() as waiting:
        yield Publisher(
            session=cast("Session", session),
            term=term,
            installation=INSTALLATION,
            envelope=envelope or cast("Any", None),
            topics=cast("Topics", FakeTopics()),
            patience=waiting,
            emit=emit,
            sink=sink,
        )
