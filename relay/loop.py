"""One shard, from standing by to publishing: runs the steps of `machine.py` against the systems. The only module that waits.

Invariant: what is committed in Kafka and the position after it are one transaction, its barrier is durable before it,
and whatever is not certain is answered by Kafka after a new producer has fenced the old one.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from outbox.envelope import Envelope, Record
from relay.background import Background
from relay.errors import (
    BarrierNotDurableError,
    BlockedError,
    HaltedError,
    LeaseLostError,
    RecordRefusedError,
    RelayError,
    SinkUnavailableError,
    SourceUnavailableError,
    StoppedError,
    UncleanError,
)
from relay.lease import (
    INSPECT,
    RESOLVE,
    Absent,
    Accepted,
    Holder,
    Installation,
    Term,
    Unfit,
    judge_history,
    judge_position,
)
from relay.leases import DISCONNECTS, DeadLetter, Session
from relay.machine import (
    HELD_BEHIND,
    POISON,
    TRANSITIONS,
    UNENCODABLE,
    Clean,
    Policy,
    Signal,
    Slice,
    State,
    Suspicion,
    Unclean,
    judge_commit,
    next_pause,
    next_slice,
    policy_for,
    retry_pause,
    split_parked,
)
from relay.progress import ProgressReader, ensure_progress_topic
from relay.sink import KafkaSink
from relay.source import Source
from relay.telemetry import Telemetry
from relay.topics import Topics
from relay.window import BEGINNING, Page, Position, Progress, Row, Window, digest

T = TypeVar("T")

# Seconds.
_FEEL = 1.0  # how often a wait looks at the lease, so that PostgreSQL does not take us for paused
_GRACE = 3.5  # how long a stop waits for what is under way: SIGTERM is obeyed within 5
_INITIALISE = 30.0  # protocol 2.4
_STANDBY = 0.25  # a standby takes over within 2 s of the holder's death
_MIRROR = 0.2
_CHORES = 0.25
_CHECK = 60.0  # read back our last progress record (protocol 3)
_HEARTBEAT = 3600.0  # an idle window, so that transactional and producer ids do not expire
_BLOCKED = 5.0
_DUE_ROWS = 1000
# How often a release tries to find no host in the middle of an insert, before it trusts the lock of the key alone.
_LOCK_TRIES = 12
# A drain gives up after so many renewals in a row that failed; a service goes on.
_DRAIN_FAILURES = 3


class Stop(Protocol):
    """Whether we were asked to stop."""

    def is_set(self) -> bool:
        """Return whether we were."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait at most *seconds*, and return whether we were."""
        ...


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a loop gets at the systems, and what it is told."""

    installation: Installation
    envelope: Envelope
    topics: Topics
    telemetry: Telemetry
    stop: Stop
    open_session: Callable[[str], Session]
    make_source: Callable[[Session, int], Source]
    make_sink: Callable[[int], KafkaSink]
    make_reader: Callable[[int], ProgressReader]
    policy: Policy
    policies: dict[str, Policy]
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a shard's loop ended: *halted* to keep the guarantee, or stopped; *holder* when another relay has the lease."""

    shard: int
    halted: str | None = None
    holder: Holder | None = None
    published: int = 0


class ShardLoop:
    """Publishes one shard until it is stopped, drained or halted."""

    def __init__(self, wiring: Wiring, shard: int, *, drain: bool) -> None:
        """Prepare; nothing is connected yet. With *drain*, end when all that was committed at the start is published."""
        self._w = wiring
        self.shard = shard
        self._drain = drain
        self._worker = Background(f"relay-{shard}")
        self._session: Session | None = None
        self._source: Source | None = None
        self._sink: KafkaSink | None = None
        self._reader: ProgressReader | None = None
        self._term: Term | None = None
        self.state = State.STANDING_BY
        self.trouble: str | None = None  # why the shard does not publish at the moment, for readiness
        self._halted: str | None = None
        self._holder: Holder | None = None
        self._published = 0
        self._failures = 0
        self._drop_memory()

    # --------------------------------------------------------------------------------------------- the machine

    def run(self) -> Outcome:
        """Run until there is nothing more to do; raise what a drain cannot go on after."""
        steps = {
            State.STANDING_BY: self._stand_by,
            State.RENEWING: self._renew,
            State.READING: self._read,
            State.PUBLISHING: self._publish,
        }
        try:
            while (step := steps.get(self.state)) is not None:
                self.state = TRANSITIONS[self.state][self._judged(step)]
        finally:
            self._close()
        return Outcome(self.shard, self._halted, self._holder, self._published)

    def _judged(self, step: Callable[[], Signal]) -> Signal:
        """Return the signal of *step*; of what it raises, if that is the systems' doing."""
        try:
            return step()
        except HaltedError as error:
            return self._halt(error.reason)
        except StoppedError:
            return Signal.STOPPING
        except (LeaseLostError, *DISCONNECTS) as error:
            return self._lose(error)
        except (UncleanError, SinkUnavailableError, BarrierNotDurableError) as error:
            return self._fail(error)

    def _lose(self, error: Exception) -> Signal:
        """Drop everything of the term: lease, producer and memory (protocol 2)."""
        self._w.telemetry.emit("relay.lease.lost", shard=self.shard, reason=_line(error))
        self.trouble = f"lease lost: {_line(error)}"
        self._drop_session()
        return Signal.REFUSED if self.state is State.STANDING_BY else Signal.LOST

    def _fail(self, error: RelayError) -> Signal:
        """Wait a little after a failure, and have a new producer ask Kafka where we are."""
        self._failures += 1
        self.trouble = str(error)
        self._w.telemetry.emit("relay.renewal.failed", shard=self.shard, failures=self._failures, reason=str(error))
        if self._drain and self._failures >= _DRAIN_FAILURES:
            raise error
        self._pause(retry_pause(self._failures))
        if self.state is State.STANDING_BY:
            self._drop_session()
            return Signal.REFUSED
        return Signal.FAILED if self.state is State.RENEWING else Signal.UNCLEAN

    def _halt(self, reason: str) -> Signal:
        """Stop to keep the guarantee, and note why where an operator looks."""
        self._halted = self.trouble = reason
        self._w.telemetry.emit("relay.shard.halted", shard=self.shard, reason=reason, inspect=INSPECT, resolve=RESOLVE)
        if self._session is not None:
            epoch = self._term.epoch if self._term else 2**62
            self._session.note_halt(
                self.shard, epoch=epoch, reason=f"{reason}; look with `{INSPECT}`, resolve with `{RESOLVE}`"
            )
        return Signal.UNFIT

    # ------------------------------------------------------------------------------------------------- waiting

    def _wait(self, future: Future[T], *, feel: bool = True) -> T:
        """Return the result of *future*; meanwhile keep the lease alive, and give up some seconds after a stop."""
        stopped_at: float | None = None
        while True:
            try:
                return future.result(timeout=_FEEL)
            except FutureTimeoutError:
                if future.done():
                    raise
            if self._w.stop.is_set():
                stopped_at = stopped_at or self._w.clock()
                if self._w.clock() - stopped_at > _GRACE - _FEEL:
                    raise StoppedError
            if feel and self._session is not None and self._term is not None:
                self._session.check(self._term)

    def _call(self, call: Callable[[], T]) -> T:
        return self._wait(self._worker.submit(call))

    def _pause(self, seconds: float) -> None:
        """Wait, unless we are asked to stop; meanwhile keep the lease alive."""
        until = self._w.clock() + seconds
        while not self._w.stop.is_set() and (left := until - self._w.clock()) > 0:
            self._w.stop.wait(min(left, _FEEL))
            if self._session is not None and self._term is not None and left > _FEEL:
                self._session.check(self._term)

    # ------------------------------------------------------------------------------------------ taking over

    def _stand_by(self) -> Signal:
        """Take the lease, if nobody holds it (protocol 2.1 to 2.3)."""
        if self._w.stop.is_set():
            return Signal.STOPPING
        session = self._session or self._open_session()
        if session is None:
            return Signal.REFUSED
        if not session.try_lock(self.shard):
            return self._refused(session)
        self._w.telemetry.emit("relay.lease.granted", shard=self.shard)
        self._term = session.raise_epoch(self.shard, shards=self._w.installation.shards)
        self._w.telemetry.emit("relay.epoch.raised", shard=self.shard, epoch=self._term.epoch)
        self._failures = 0
        return Signal.GRANTED

    def _open_session(self) -> Session | None:
        """Return a checked session; None if PostgreSQL is away, which a service waits for."""
        try:
            session = self._w.open_session(f"shard {self.shard}")
        except SourceUnavailableError as error:
            if self._drain:
                raise
            self._failures += 1
            self.trouble = str(error)
            self._w.telemetry.emit("relay.session.failed", shard=self.shard, failures=self._failures, reason=str(error))
            self._pause(min(retry_pause(self._failures), 1.0))
            return None
        self._session = session
        if reason := judge_history(session.facts(), self._w.installation):
            raise HaltedError(self.shard, reason)
        if (found := session.installation()) != self._w.installation:
            raise HaltedError(
                self.shard, f"outbox.meta has changed: expected {self._w.installation}, got {found}; start again"
            )
        bootstrapped = session.any_bootstrapped()
        self._call(lambda: ensure_progress_topic(self._w.topics, self._w.installation, bootstrapped=bootstrapped))
        self._source = self._w.make_source(session, self.shard)
        self._w.telemetry.emit("relay.session.opened", shard=self.shard, pid=session.connection.info.backend_pid)
        return session

    def _refused(self, session: Session) -> Signal:
        """Stand by; a drain leaves it to the holder instead."""
        self.trouble = "standing by: another relay holds the lease"
        self._w.telemetry.emit("relay.lease.refused", shard=self.shard)
        if self._drain:
            self._holder = session.holder(self.shard)
            return Signal.STOPPING
        self._w.stop.wait(_STANDBY)
        return Signal.REFUSED

    def _renew(self) -> Signal:
        """Have a new producer, and let Kafka say where we are (protocol 2.4 to 2.7)."""
        if self._w.stop.is_set():
            return Signal.STOPPING
        session, term = self._held()
        self._drop_sink()
        session.check(term)  # rule 11: before a producer fences a successor's
        self._w.telemetry.emit("relay.lease.checked", shard=self.shard, epoch=term.epoch)
        self._initialise(session, term)
        self._reader = self._reader or self._w.make_reader(self.shard)
        last = self._call(self._reader.last)
        self._w.telemetry.emit(
            "relay.position.read", shard=self.shard, seq=last.progress.seq if last.progress else None
        )
        batch = session.batch(self.shard, last.progress.seq) if last.progress else None
        verdict = judge_position(
            last.progress,
            foreign=last.foreign,
            installation=self._w.installation,
            term=term,
            batch=batch,
            now=session.current_snapshot(),
        )
        match verdict:
            case Unfit(reason):
                raise HaltedError(self.shard, reason)
            case Absent():
                self._bootstrap(session, term)
            case Accepted(position, n):
                self._position, self._window_n = position, n
        self._settle_in(session, last.progress)
        return Signal.POSITIONED

    def _initialise(self, session: Session, term: Term) -> None:
        """Fence predecessors in Kafka; raise SinkUnavailableError if it takes too long."""
        sink = self._sink = self._w.make_sink(self.shard)
        deadline = self._w.clock() + _INITIALISE
        while not self._call(lambda: sink.initialise(_FEEL)):
            session.check(term)
            if self._w.stop.is_set():
                raise StoppedError
            if self._w.clock() > deadline:
                raise SinkUnavailableError(f"init_transactions did not end within {_INITIALISE:.0f} s")
        self._w.telemetry.emit("relay.producer.initialised", shard=self.shard, epoch=term.epoch)

    def _bootstrap(self, session: Session, term: Term) -> None:
        """Publish the first position of an installation: nothing has been published."""
        beginning = BEGINNING
        window = Window(seq=0, a=beginning.a, b=beginning.b, lo=0, olds=(), n=0)
        session.write_barrier(term, window)
        self._barred_seq = 0
        verdict = self._transact((), {}, beginning, None)
        if isinstance(verdict, Unclean):
            raise UncleanError(verdict.reason)
        self._w.telemetry.emit("relay.bootstrap.committed", shard=self.shard)
        self._position, self._window_n = beginning, 0

    def _settle_in(self, session: Session, progress: Progress | None) -> None:
        """Begin to publish from the position."""
        _, term = self._held()
        if not term.bootstrapped:
            session.mark_bootstrapped(term)
            self._term = replace(term, bootstrapped=True)
            self._w.telemetry.emit("relay.shard.bootstrapped", shard=self.shard)
        session.clear_halt(term)
        self._progress = progress or self._progress
        self._todo = self._ahead = None
        self._barred_seq = None
        self._finds = 0
        self._a = self._position.next_a
        self._mirror_due = self._position
        self._parked = self._source_held().parked_keys()
        self._checked_at = self._committed_at = self._w.clock()
        self.trouble = None
        self._w.telemetry.emit(
            "relay.position.accepted", shard=self.shard, seq=self._position.seq, last_id=self._position.last_id
        )

    # ------------------------------------------------------------------------------------------------- reading

    def _read(self) -> Signal:
        """Have a page in hand, if there is anything to publish."""
        if self._w.stop.is_set():
            return self._stopping()
        self._chores()
        if self._todo is not None:
            return Signal.FOUND
        if self._ahead is not None:
            self._todo, self._ahead = self._ahead, None
            return Signal.FOUND
        if not self._position.finished:
            window = self._source_held().resume(self._position, n=self._window_n)
            self._todo = self._read_page(window, after=self._position.last_id or 0)
            return Signal.FOUND
        return self._next_window()

    def _next_window(self) -> Signal:
        """Find the window behind the finished one; without one, A := B in memory, and wait."""
        if self._drain and self._finds:
            return self._stopping()
        now = self._w.clock()
        page, self._a = self._find_window(seq=self._position.seq + 1, a=self._a)
        if page is None and now - self._committed_at >= _HEARTBEAT:
            page = Page(Window(seq=self._position.seq + 1, a=self._a, b=self._a, lo=0, olds=(), n=0), (), None)
        if page is not None:
            self._todo, self._idle_pause = page, None
            return Signal.FOUND
        if self._drain:
            return self._stopping()
        self._write_mirror(force=True)
        self._idle_pause = next_pause(self._idle_pause, idle_seconds=now - self._committed_at)
        self._w.stop.wait(self._idle_pause)
        return Signal.EMPTY

    def _find_window(self, *, seq: int, a: str) -> tuple[Page | None, str]:
        """Return the first page between *a* and now; None if there is nothing, and where to look from the next time."""
        source = self._source_held()
        b = source.snapshot()
        self._finds += 1
        self._w.telemetry.emit("relay.snapshot.taken", shard=self.shard)
        window = source.find(seq=seq, a=a, b=b)
        if window is None:
            return None, b
        self._w.telemetry.emit("relay.window.found", shard=self.shard, seq=window.seq, n=window.n)
        page = self._read_page(window, after=0)
        return (None, b) if page.exhausted and page.end is None else (page, a)

    def _read_page(self, window: Window, *, after: int) -> Page:
        page = self._source_held().page(window, after=after)
        self._w.telemetry.emit("relay.page.read", shard=self.shard, seq=window.seq, count=len(page.rows))
        return page

    def _read_ahead(self, page: Page, after: Position) -> None:
        """Read what follows *page* while its commit is under way; dropped unless that is clean."""
        self._write_mirror(force=False)
        if page.end is not None:
            if after.last_id == page.end:
                self._ahead = self._read_page(page.window, after=page.end)
        elif after.finished and not self._drain and not self._parked:
            # Parked keys are released between two windows, and what was read before would miss that.
            self._ahead = self._find_window(seq=after.seq + 1, a=after.next_a)[0]

    def _stopping(self) -> Signal:
        """Leave in order: the mirror says how far we came."""
        self._write_mirror(force=True)
        self._w.telemetry.emit("relay.shard.stopped", shard=self.shard, seq=self._position.seq)
        return Signal.STOPPING

    # -------------------------------------------------------------------------------------------------- chores

    def _chores(self) -> None:
        """Do what is due between two pages: scheduled events, released keys, and a look at our last record."""
        now = self._w.clock()
        if now - self._checked_at >= _CHECK:
            self._check_progress()
        if now - self._chores_at < _CHORES:
            return
        self._chores_at = now
        self._release_due()
        if self._parked and self._todo is None and self._position.finished:
            self._release_keys()

    def _release_due(self) -> None:
        released = self._source_held().release_due(rows=_DUE_ROWS)
        if released:
            self._w.telemetry.emit("relay.schedule.released", shard=self.shard, count=released)
            if self._drain and released == _DUE_ROWS:
                self._release_due()

    def _release_keys(self) -> None:
        """Let the events of resolved keys go, in order, as new ones: what was read ahead is read again after it."""
        session, term = self._held()
        for head in self._source_held().releasable_heads():
            tries = self._postponed.get(head.id, 0)
            released = session.release_key(term, head, a=self._a, lock_table=tries < _LOCK_TRIES)
            if released is None:
                self._postponed[head.id] = tries + 1
                self._w.telemetry.emit(
                    "relay.key.release_postponed", shard=self.shard, dead_letter=head.id, tries=tries + 1
                )
                continue
            self._ahead = None
            self._postponed.pop(head.id, None)
            self._parked.pop((head.aggregate_type, head.aggregate_id), None)
            self._w.telemetry.emit("relay.key.released", shard=self.shard, dead_letter=head.id, count=released)

    def _check_progress(self) -> None:
        """Read our last progress record back: if it is another's, the topic is not ours alone (protocol 3)."""
        session, term = self._held()
        assert self._reader is not None  # noqa: S101  # made before the first position
        last = self._call(self._reader.last)
        self._checked_at = self._w.clock()
        if last.progress != self._progress or last.foreign:
            session.check(term)
            got = last.progress and (last.progress.install, last.progress.epoch, last.progress.seq)
            raise HaltedError(
                self.shard, f"the last record of the progress topic is not the one we committed: got {got}"
            )
        self._w.telemetry.emit("relay.progress.checked", shard=self.shard)

    def _write_mirror(self, *, force: bool) -> None:
        """Note the confirmed position for people and retention, now and then; nothing while it has not moved."""
        now = self._w.clock()
        if self._mirror_due is None or (not force and now - self._mirrored_at < _MIRROR):
            return
        session, term = self._held()
        session.mirror(term, self._mirror_due)
        self._mirror_due, self._mirrored_at = None, now
        self._w.telemetry.emit("relay.mirror.written", shard=self.shard)

    # ---------------------------------------------------------------------------------------------- publishing

    def _publish(self) -> Signal:
        """Publish what can go in one transaction out of the page in hand."""
        assert self._todo is not None  # noqa: S101  # READING found it
        page = self._todo = self._hold_parked(self._todo)
        piece = next_slice(page.rows, self._suspicion.suspects)
        if piece.alone and self._suspicion.guilty(piece.rows[0].id):
            return self._give_up(piece.rows[0])
        records, refused = self._encode(piece.rows)
        if refused:
            return self._suspect(piece, refused)
        assert self._sink is not None  # noqa: S101  # RENEWING made it
        if self._w.topics.largest > self._sink.largest or self._w.topics.batch < self._sink.batch:
            # A topic is new to us, and the producer's limits are fixed when it is made.
            return Signal.UNCLEAN
        return self._publish_slice(page, piece, records)

    def _publish_slice(self, page: Page, piece: Slice, records: dict[int, Record]) -> Signal:
        after = page.position_after(len(piece.rows))
        verdict = self._transact(piece.rows, records, after, page)
        match verdict:
            case Clean():
                self._advance(page, piece, after)
                return Signal.CLEAN
            case Unclean(reason, suspects, code):
                self._w.telemetry.emit(
                    "relay.page.failed", shard=self.shard, seq=after.seq, reason=reason, suspects=len(suspects)
                )
                if not suspects:
                    raise UncleanError(reason)
                errors = {row: RecordRefusedError(code or 0, reason) for row in suspects}
                self._suspect(piece, errors)
                for record in records.values():
                    self._w.topics.forget(record.topic)
                return Signal.UNCLEAN

    def _advance(self, page: Page, piece: Slice, after: Position) -> None:
        """Move on behind what is committed."""
        now = self._w.clock()
        self._position = self._mirror_due = after
        self._window_n = page.window.n
        self._committed_at = now
        self._failures = 0
        self.trouble = None
        self._published += len(piece.rows)
        self._suspicion = self._suspicion.clear(row.id for row in piece.rows)
        rest = page.without(len(piece.rows))
        self._todo = None if rest.exhausted else rest
        if after.finished:
            self._a = after.next_a
            self._w.telemetry.emit("relay.window.finished", shard=self.shard, seq=after.seq)

    def _transact(
        self, rows: Sequence[Row], records: dict[int, Record], after: Position, page: Page | None
    ) -> Clean | Unclean:
        """Commit *rows* and the position behind them in one Kafka transaction, once the barrier is durable."""
        _, term = self._held()
        assert self._sink is not None  # noqa: S101  # RENEWING made it
        sink, emit = self._sink, self._w.telemetry.emit
        progress = self._progress_record(term, after, [row.id for row in rows])
        sink.begin()
        emit("relay.transaction.begun", shard=self.shard, seq=after.seq)
        barrier = self._send_barrier(page.window) if page is not None else None
        try:
            for row in rows:
                sink.produce(records[row.id])
            emit("relay.page.produced", shard=self.shard, seq=after.seq, count=len(rows))
            sink.produce_progress(progress.key, progress.encode())
            emit("relay.progress.produced", shard=self.shard, seq=after.seq)
        except RecordRefusedError as error:
            sink.abort()
            return Unclean(f"the client refused a record: {error.detail}", frozenset({row.id}), error.code)
        finally:
            if barrier is not None:
                self._wait(barrier, feel=False)
        if page is not None and barrier is not None:
            self._barred_seq = page.window.seq
            emit("relay.barrier.written", shard=self.shard, seq=after.seq)
        commit = self._worker.submit(lambda: sink.commit(records))
        if page is not None:
            self._read_ahead(page, after)
        started = self._w.clock()
        evidence = self._wait(commit)
        verdict = judge_commit(evidence, [row.id for row in rows])
        if isinstance(verdict, Clean):
            self._progress = progress
            emit(
                "relay.page.committed",
                shard=self.shard,
                epoch=term.epoch,
                seq=after.seq,
                last_id=after.last_id,
                count=len(rows),
                seconds=round(evidence.seconds, 6),
                waited=round(self._w.clock() - started, 6),
            )
        return verdict

    def _send_barrier(self, window: Window) -> Future[None] | None:
        """Write the barrier of *window* while its page is produced; None if this term has written it."""
        if self._barred_seq == window.seq:
            return None
        session, term = self._held()
        self._w.telemetry.emit("relay.barrier.sent", shard=self.shard, seq=window.seq)
        return self._worker.submit(lambda: session.write_barrier(term, window))

    def _progress_record(self, term: Term, after: Position, ids: Sequence[int]) -> Progress:
        who = self._w.installation
        return Progress(
            install=who.install,
            gen=who.gen,
            sysid=who.sysid,
            shard=self.shard,
            epoch=term.epoch,
            seq=after.seq,
            prev_seq=max(after.seq - 1, 0),
            a=after.a,
            b=after.b,
            last_id=after.last_id,
            n=len(ids),
            sha=digest(ids),
        )

    # -------------------------------------------------------------------------------------------------- poison

    def _encode(self, rows: Sequence[Row]) -> tuple[dict[int, Record], dict[int, RecordRefusedError]]:
        """Return the records of *rows*, and why some of them cannot be published, before a transaction begins."""
        records: dict[int, Record] = {}
        refused: dict[int, RecordRefusedError] = {}
        encode = self._w.envelope.encode
        assert self._sink is not None  # noqa: S101  # RENEWING made it
        largest = self._sink.largest
        for row in rows:
            try:
                record = records[row.id] = encode(row.event)
            except Exception as error:  # noqa: BLE001  # an envelope may be anybody's; the event is kept, with the reason
                refused[row.id] = RecordRefusedError(UNENCODABLE, f"the envelope failed: {type(error).__name__}")
                continue
            if len(record.value) * 2 > largest and (refusal := self._sink.refusal(record)):
                refused[row.id] = refusal
        self._refuse_topics(records, refused)
        return records, refused

    def _refuse_topics(self, records: dict[int, Record], refused: dict[int, RecordRefusedError]) -> None:
        """Have the topics of *records* exist, and refuse those records whose topic cannot."""
        topics = self._w.topics
        for topic in {record.topic for record in records.values()}:
            if topics.known(topic):
                continue
            try:
                self._call(lambda topic=topic: topics.ensure(topic))
            except RecordRefusedError as error:
                refused.update({row: error for row, record in records.items() if record.topic == topic})

    def _suspect(self, piece: Slice, errors: dict[int, RecordRefusedError]) -> Signal:
        """Note which rows are to be tried alone; of one that was, that it failed so."""
        self._reasons.update(errors)
        for row, error in errors.items():
            facts = {"shard": self.shard, "row": row, "reason": POISON.get(error.code, str(error.code))}
            if piece.alone:
                self._suspicion = self._suspicion.strike(row)
                self._w.telemetry.emit("relay.event.struck", **facts, strikes=self._suspicion.strikes[row])
            else:
                self._w.telemetry.emit("relay.event.suspected", **facts)
        if not piece.alone:
            self._suspicion = self._suspicion.accuse(errors)
        return Signal.GAVE_UP

    def _give_up(self, row: Row) -> Signal:
        """Do with a row that failed alone, twice, what the policy of its topic says (rule 8)."""
        error = self._reasons[row.id]
        topic = self._topic(row)
        policy = policy_for(topic, policies=self._w.policies, default=self._w.policy)
        reason = POISON[error.code]
        if policy == "block":
            return self._block(row, topic, f"{reason}: {error.detail}")
        session, term = self._held()
        parks = policy == "park-key"
        letters = session.write_dead_letters(
            term, [DeadLetter(row, topic)], reason=reason, detail=error.detail, parks=parks, attempts=3
        )
        self._w.telemetry.emit(
            "relay.dead_letter.written", shard=self.shard, event_id=row.event.event_id, reason=reason, policy=policy
        )
        if parks and row.id in letters:
            self._parked[row.key] = letters[row.id]
        self._suspicion = self._suspicion.clear([row.id])
        assert self._todo is not None  # noqa: S101  # its first row is given up
        self._todo = self._todo.without(1)
        return Signal.GAVE_UP

    def _block(self, row: Row, topic: str, reason: str) -> Signal:
        """Stop the shard before a row that cannot be published, and try again now and then."""
        session, term = self._held()
        error = BlockedError(self.shard, row.event.event_id, topic, reason)
        if self._drain:
            raise error
        self.trouble = str(error)
        self._w.telemetry.emit(
            "relay.shard.blocked", shard=self.shard, event_id=row.event.event_id, topic=topic, reason=reason
        )
        session.note_halt(self.shard, epoch=term.epoch, reason=str(error))
        self._suspicion = self._suspicion.clear([row.id]).accuse([row.id])
        self._w.topics.forget(topic)
        self._pause(_BLOCKED)
        return Signal.BLOCKED

    def _hold_parked(self, page: Page) -> Page:
        """Return the page without the rows of parked keys; each of them is kept behind the head of its key."""
        rows, held = split_parked(page.rows, self._parked)
        if not held:
            return page
        session, term = self._held()
        letters = [DeadLetter(row, self._topic(row), behind=self._parked[row.key]) for row in held]
        detail = "an earlier event of the same key could not be published"
        session.write_dead_letters(term, letters, reason=HELD_BEHIND, detail=detail, parks=False, attempts=0)
        self._w.telemetry.emit("relay.event.held", shard=self.shard, count=len(held))
        self._suspicion = self._suspicion.clear(row.id for row in held)
        return replace(page, rows=rows)

    def _topic(self, row: Row) -> str:
        """Return where *row* was meant to go."""
        try:
            return self._w.envelope.encode(row.event).topic
        except Exception:  # noqa: BLE001  # the envelope has failed before: that is why it is asked
            return row.event.topic or ""

    # ------------------------------------------------------------------------------------------------- endings

    def _held(self) -> tuple[Session, Term]:
        """Return session and term; they are there in every state but STANDING_BY."""
        assert self._session is not None  # noqa: S101
        assert self._term is not None  # noqa: S101
        return self._session, self._term

    def _source_held(self) -> Source:
        assert self._source is not None  # noqa: S101  # as above
        return self._source

    def _drop_memory(self) -> None:
        """Forget everything that only this term knew."""
        self._position: Position = BEGINNING
        self._window_n = 0
        self._a = BEGINNING.b
        self._todo: Page | None = None
        self._ahead: Page | None = None
        self._barred_seq: int | None = None
        self._progress: Progress | None = None
        self._mirror_due: Position | None = None
        self._parked: dict[tuple[str, str], int] = {}
        self._suspicion = Suspicion()
        self._reasons: dict[int, RecordRefusedError] = {}
        self._postponed: dict[int, int] = {}
        self._finds = 0
        self._idle_pause: float | None = None
        self._chores_at = self._mirrored_at = float("-inf")
        self._checked_at = self._committed_at = self._w.clock()

    def _drop_sink(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _drop_session(self) -> None:
        self._drop_sink()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._session is not None:
            self._session.close()
            self._session = self._source = None
        self._term = None
        self._drop_memory()

    def _close(self) -> None:
        if self._session is not None and self._term is not None:
            self._session.unlock(self.shard)
        self._drop_session()
        self._worker.close(0.1)


def _line(error: Exception) -> str:
    """Return the error's text on one line; drivers write several."""
    return " ".join(str(error).split()) or type(error).__name__
