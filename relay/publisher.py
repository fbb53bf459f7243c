"""One Kafka transaction a page: the events, the position behind them, and the barrier that must be durable first.

Invariant (protocol 3): a page and the position after it become visible in one transaction, or not at all; its commit
begins only after the barrier row of its window is durable in PostgreSQL.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from outbox.envelope import Envelope, Record
from relay.errors import RecordRefusedError
from relay.lease import Installation, Term
from relay.leases import Session
from relay.machine import UNENCODABLE, Clean, Evidence, Unclean, judge_commit
from relay.patience import Patience
from relay.telemetry import Emit
from relay.topics import Topics
from relay.window import Position, Progress, Row, Window, digest

# The records by row id, and why some cannot be published.
Encoded: TypeAlias = tuple[dict[int, Record], dict[int, RecordRefusedError]]


class Sink(Protocol):
    """What publishes in transactions; see `KafkaSink`."""

    largest: int
    batch: int

    def initialise(self, seconds: float) -> bool:
        """Fence predecessors; return whether that ended within *seconds*."""
        ...

    def refusal(self, record: Record) -> RecordRefusedError | None:
        """Return why *record* would not be taken."""
        ...

    def begin(self) -> None:
        """Begin a transaction."""
        ...

    def produce(self, record: Record) -> None:
        """Take one record."""
        ...

    def produce_progress(self, key: bytes, value: bytes) -> None:
        """Take the progress record."""
        ...

    def commit(self, records: dict[int, Record], *, patient: bool = False) -> Evidence:
        """End the transaction, and return what was seen; *patient*: wait for it as long as the broker does."""
        ...

    def abort(self) -> None:
        """End the transaction without its records."""
        ...

    def close(self) -> None:
        """Drop the producer."""
        ...


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What was encoded before its turn. It counts for these very rows only: a slice of them is encoded again."""

    rows: Sequence[Row]
    encoded: Encoded


class Publisher:
    """Publishes for one term on one shard; a new sink may take the place of an unclean one."""

    def __init__(
        self,
        *,
        session: Session,
        term: Term,
        installation: Installation,
        envelope: Envelope,
        topics: Topics,
        patience: Patience,
        emit: Emit,
        sink: Sink,
    ) -> None:
        """Publish through *sink*, which is initialised."""
        self._session = session
        self._term = term
        self._installation = installation
        self._envelope = envelope
        self._topics = topics
        self._patience = patience
        self._emit = emit
        self._sink = sink
        self._barred_seq: int | None = None
        self._ahead: _Ahead | None = None
        self.progress: Progress | None = None  # the last record that we know to be committed

    @property
    def outgrown(self) -> bool:
        """Return whether a topic was found whose limits the producer does not have: they are fixed when it is made."""
        return self._topics.largest > self._sink.largest or self._topics.batch < self._sink.batch

    def go_on_as(self, term: Term) -> None:
        """Publish under *term*, the same term under a new epoch; its windows need barriers of that epoch."""
        if term != self._term:
            self._term, self._barred_seq = term, None

    # -------------------------------------------------------------------------------------------------- records

    def encode(self, rows: Sequence[Row]) -> Encoded:
        """Return the records of *rows*, and why some cannot be published, as far as that shows without trying."""
        ahead, self._ahead = self._ahead, None
        records, refused = ahead.encoded if ahead is not None and ahead.rows is rows else self._encoded(rows)
        self._refuse_topics(records, refused)
        return records, refused

    def encode_ahead(self, rows: Sequence[Row]) -> None:
        """Make the records of *rows*, which are likely to be next, while there is nothing else to do."""
        self._ahead = _Ahead(rows, self._encoded(rows))

    def _encoded(self, rows: Sequence[Row]) -> Encoded:
        records: dict[int, Record] = {}
        refused: dict[int, RecordRefusedError] = {}
        encode, suspicious = self._envelope.encode, self._sink.largest // 2
        for row_id, event in rows:
            try:
                record = records[row_id] = encode(event)
            except Exception as error:  # noqa: BLE001  # an envelope may be anybody's; the event is kept, with the reason
                refused[row_id] = RecordRefusedError(UNENCODABLE, f"the envelope failed: {type(error).__name__}")
                continue
            if len(record.value) > suspicious and (refusal := self._sink.refusal(record)):
                refused[row_id] = refusal
        return records, refused

    def topic(self, row: Row) -> str:
        """Return where *row* is meant to go."""
        try:
            return self._envelope.encode(row.event).topic
        except Exception:  # noqa: BLE001  # it has failed before: that is why we are asked
            return row.event.topic or ""

    def _refuse_topics(self, records: dict[int, Record], refused: dict[int, RecordRefusedError]) -> None:
        """Have the topics of *records* exist, and refuse those whose topic cannot."""
        for topic in {record.topic for record in records.values()}:
            if self._topics.known(topic):
                continue
            try:
                self._patience.call(_ensuring(self._topics, topic))
            except RecordRefusedError as error:
                refused.update({row: error for row, record in records.items() if record.topic == topic})

    # --------------------------------------------------------------------------------------------- transactions

    def transact(
        self,
        rows: Sequence[Row],
        records: dict[int, Record],
        after: Position,
        *,
        window: Window,
        meanwhile: Callable[[], None],
        patient: bool = False,
    ) -> Clean | Unclean:
        """Commit *rows* and the position *after* them; run *meanwhile* while the commit is under way."""
        ids = [row.id for row in rows]
        progress = self._progress_record(after, ids)
        self._sink.begin()
        self._emit("relay.transaction.begun", seq=after.seq)
        barrier = self._send_barrier(window)
        try:
            refused = self._produce(rows, records, progress)
        finally:
            self._await_barrier(barrier, window)
        if refused is not None:
            self._sink.abort()
            return refused
        commit = self._patience.submit(lambda: self._sink.commit(records, patient=patient))
        meanwhile()
        evidence = self._patience.wait(commit)
        verdict = judge_commit(evidence, ids)
        if isinstance(verdict, Clean):
            self._note(progress, evidence)
        return verdict

    def _produce(self, rows: Sequence[Row], records: dict[int, Record], progress: Progress) -> Unclean | None:
        """Hand everything to the client; return what it did not take."""
        for row in rows:
            try:
                self._sink.produce(records[row.id])
            except RecordRefusedError as error:
                return Unclean(f"the client refused a record: {error.detail}", frozenset({row.id}), error.code)
        self._emit("relay.page.produced", seq=progress.seq, count=len(rows))
        self._sink.produce_progress(progress.key, progress.encode())
        self._emit("relay.progress.produced", seq=progress.seq)
        return None

    def _send_barrier(self, window: Window) -> Future[None] | None:
        """Write the barrier of *window* while its page is produced; None if this term has written it."""
        if self._barred_seq == window.seq:
            return None
        self._emit("relay.barrier.sent", seq=window.seq)
        return self._patience.submit(lambda: self._session.write_barrier(self._term, window))

    def _await_barrier(self, barrier: Future[None] | None, window: Window) -> None:
        """Return once the barrier is durable (rule 1); raise if it is not, or if we are fenced."""
        if barrier is not None:
            self._patience.wait(barrier, feeling=False)
            self._barred_seq = window.seq
            self._emit("relay.barrier.written", seq=window.seq)

    def _note(self, progress: Progress, evidence: Evidence) -> None:
        self.progress = progress
        self._emit(
            "relay.page.committed",
            epoch=progress.epoch,
            seq=progress.seq,
            last_id=progress.last_id,
            count=progress.n,
            seconds=round(evidence.seconds, 6),
        )

    def _progress_record(self, after: Position, ids: Sequence[int]) -> Progress:
        who = self._installation
        return Progress(
            install=who.install,
            gen=who.gen,
            sysid=who.sysid,
            shard=self._term.shard,
            epoch=self._term.epoch,
            seq=after.seq,
            prev_seq=max(after.seq - 1, 0),
            a=after.a,
            b=after.b,
            last_id=after.last_id,
            n=len(ids),
            sha=digest(ids),
        )


def _ensuring(topics: Topics, topic: str) -> Callable[[], None]:
    return lambda: topics.ensure(topic)
