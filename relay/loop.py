"""One shard, from standing by to publishing: runs the steps of `machine.py` against the systems.

Whatever is not certain is answered by Kafka, after a new producer has fenced the old one; whatever PostgreSQL does not
confirm ends the term, and everything that only this term knew is forgotten.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from outbox.envelope import Envelope
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
from relay.isolation import Isolation, Policies
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
from relay.leases import DISCONNECTS, Session
from relay.machine import TRANSITIONS, Clean, Signal, Slice, State, Unclean, next_pause, retry_pause
from relay.patience import FEEL, Patience, Stop
from relay.progress import LastRecord, ProgressReader, ensure_progress_topic
from relay.publisher import Publisher, Sink
from relay.source import Source
from relay.telemetry import Telemetry
from relay.topics import Topics
from relay.window import BEGINNING, Page, Position, Window

# Seconds.
_INITIALISE = 30.0  # protocol 2.4
_STANDBY = 0.25  # a standby takes over within 2 s of the holder's death
_MIRROR = 0.2
_CHORES = 0.25
_CHECK = 60.0  # how often our last progress record is read back (protocol 3)
_HEARTBEAT = 3600.0  # an idle window, so that transactional and producer ids do not expire
_BLOCKED = 5.0
_DUE_ROWS = 1000
# A drain gives up after so many failures in a row; a service goes on.
_DRAIN_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a loop gets at the systems, and what it is told."""

    installation: Installation
    envelope: Envelope
    topics: Topics
    telemetry: Telemetry
    stop: Stop
    policies: Policies
    open_session: Callable[[str], Session]
    make_source: Callable[[Session, int], Source]
    make_sink: Callable[[int], Sink]
    make_reader: Callable[[int], ProgressReader]
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a shard's loop ended: *halted* to keep the guarantee, or stopped; *holder* if another relay has the lease."""

    shard: int
    halted: str | None = None
    holder: Holder | None = None
    published: int = 0


@dataclass(slots=True)
class Memory:
    """What a term knows beside the systems; forgotten with it."""

    position: Position = BEGINNING  # the last that Kafka has confirmed
    window_n: int = 0
    a: str = BEGINNING.b  # where the next window begins: moves in memory while nothing is found
    todo: Page | None = None
    ahead: Page | None = None  # read while the commit before it is under way
    finds: int = 0  # windows looked for since the position was read
    mirror_due: Position | None = None
    idle_pause: float | None = None
    mirrored_at: float = float("-inf")
    chores_at: float = float("-inf")
    checked_at: float = 0.0
    committed_at: float = 0.0


@dataclass(slots=True)
class Held:
    """The systems as the holder of the lease has them."""

    session: Session
    source: Source
    term: Term
    sink: Sink | None = None
    publisher: Publisher | None = None
    isolation: Isolation | None = None


@dataclass(slots=True)
class Standing:
    """How the shard stands, for readiness and for the outcome."""

    trouble: str | None = "starting"
    standing_by: bool = False  # another relay is at work: nothing is wrong
    halted: str | None = None
    holder: Holder | None = None
    published: int = 0
    failures: int = field(default=0)


class ShardLoop:
    """Publishes one shard until it is stopped, drained or halted."""

    def __init__(self, wiring: Wiring, shard: int, *, drain: bool) -> None:
        """Prepare; nothing is connected yet. With *drain*, end when all that is committed at the start is published."""
        self.shard = shard
        self.state = State.STANDING_BY
        self.standing = Standing()
        self._w = wiring
        self._drain = drain
        self._emit = wiring.telemetry.of_shard(shard)
        self._patience = Patience(f"relay-{shard}", wiring.stop, wiring.clock, self._feel)
        self._session: Session | None = None
        self._reader: ProgressReader | None = None
        self._held: Held | None = None
        self._m = Memory()

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
                self.state = TRANSITIONS[self.state][self._signal(step)]
        finally:
            self._close()
        return Outcome(self.shard, self.standing.halted, self.standing.holder, self.standing.published)

    def _signal(self, step: Callable[[], Signal]) -> Signal:
        """Return the signal of *step*, or of what it raises, as long as that is the systems' doing."""
        try:
            return step()
        except HaltedError as error:
            return self._halt(error.reason)
        except BlockedError as error:
            return self._block(error)
        except StoppedError:
            return Signal.STOPPING
        except (LeaseLostError, *DISCONNECTS) as error:
            return self._lose(error)
        except (UncleanError, SinkUnavailableError, BarrierNotDurableError) as error:
            return self._fail(error)

    def _lose(self, error: Exception) -> Signal:
        """End the term: its lease, its producer and its memory are gone (protocol 2)."""
        self.standing.trouble = reason = " ".join(str(error).split()) or type(error).__name__
        self._emit("relay.lease.lost", reason=reason)
        self._drop_session()
        if self.state is not State.STANDING_BY:
            return Signal.LOST
        self._wait_after_failure()
        return Signal.REFUSED

    def _fail(self, error: RelayError) -> Signal:
        """Wait a little, and have a new producer ask Kafka where we are."""
        self.standing.trouble = str(error)
        self._emit("relay.renewal.failed", failures=self.standing.failures + 1, reason=str(error))
        if self._drain and self.standing.failures + 1 >= _DRAIN_FAILURES:
            raise error
        if self.state is State.STANDING_BY:
            self._drop_session()
        try:
            self._wait_after_failure()
        except (LeaseLostError, *DISCONNECTS) as lost:
            return self._lose(lost)
        match self.state:
            case State.STANDING_BY:
                return Signal.REFUSED
            case State.RENEWING:
                return Signal.FAILED
            case State.READING | State.PUBLISHING | State.HALTED | State.STOPPED:
                return Signal.UNCLEAN

    def _wait_after_failure(self, *, longest: float = 5.0) -> None:
        self.standing.failures += 1
        self._patience.pause(min(retry_pause(self.standing.failures), longest))

    def _halt(self, reason: str) -> Signal:
        """Stop to keep the guarantee, and note why where an operator looks."""
        self.standing.halted = self.standing.trouble = reason
        self._emit("relay.shard.halted", reason=reason, inspect=INSPECT, resolve=RESOLVE)
        if self._session is not None:
            epoch = self._held.term.epoch if self._held else None
            self._session.note_halt(self.shard, epoch=epoch, reason=f"{reason}; look: {INSPECT}, resolve: {RESOLVE}")
        return Signal.UNFIT

    def _block(self, error: BlockedError) -> Signal:
        """Stop before an event that cannot be published, say so, and try again now and then."""
        if self._drain:
            raise error
        held = self._in_term()
        self.standing.trouble = str(error)
        self._emit("relay.shard.blocked", event_id=error.event_id, topic=error.topic, reason=error.reason)
        held.session.note_halt(self.shard, epoch=held.term.epoch, reason=str(error))
        self._w.topics.forget(error.topic)
        try:
            self._patience.pause(_BLOCKED)
        except (LeaseLostError, *DISCONNECTS) as lost:
            return self._lose(lost)
        return Signal.BLOCKED

    def _feel(self) -> None:
        """Keep the lease alive, and raise if it is lost."""
        if self._held is not None:
            self._held.session.check(self._held.term)

    # ------------------------------------------------------------------------------------------ taking over

    def _stand_by(self) -> Signal:
        """Take the lease, if nobody holds it (protocol 2.1 to 2.3)."""
        if self._w.stop.is_set():
            return Signal.STOPPING
        session = self._session or self._open_session()
        if session is None:
            return Signal.REFUSED
        if not session.try_lock(self.shard):
            return self._leave_it(session)
        self._emit("relay.lease.granted")
        self.standing.standing_by = False
        term = session.raise_epoch(self.shard, shards=self._w.installation.shards)
        self._emit("relay.epoch.raised", epoch=term.epoch)
        self._held = Held(session, self._w.make_source(session, self.shard), term)
        return Signal.GRANTED

    def _open_session(self) -> Session | None:
        """Return a checked session; None if PostgreSQL is away, which a service waits for."""
        try:
            session = self._session = self._w.open_session(f"shard {self.shard}")
        except SourceUnavailableError as error:
            if self._drain:
                raise
            self.standing.trouble, self.standing.standing_by = str(error), False
            self._emit("relay.session.failed", failures=self.standing.failures + 1, reason=str(error))
            self._wait_after_failure(longest=1.0)
            return None
        if reason := judge_history(session.facts(), self._w.installation):
            raise HaltedError(self.shard, reason)
        if (found := session.installation()) != self._w.installation:
            raise HaltedError(
                self.shard, f"outbox.meta changed: expected {self._w.installation}, got {found}; start again"
            )
        bootstrapped = session.any_bootstrapped()
        topics, installation = self._w.topics, self._w.installation
        self._patience.call(lambda: ensure_progress_topic(topics, installation, bootstrapped=bootstrapped))
        self._reader = self._reader or self._w.make_reader(self.shard)
        self._patience.call(self._reader.warm_up)
        self._emit("relay.session.opened", pid=session.connection.info.backend_pid)
        return session

    def _leave_it(self, session: Session) -> Signal:
        """Stand by; a drain leaves it to the holder instead."""
        self.standing.trouble = "standing by: another relay holds the lease"
        self.standing.standing_by = True
        self._emit("relay.lease.refused")
        if self._drain:
            self.standing.holder = session.holder(self.shard)
            return Signal.STOPPING
        self._w.stop.wait(_STANDBY)
        return Signal.REFUSED

    def _renew(self) -> Signal:
        """Have a new producer, and let Kafka say where we are (protocol 2.4 to 2.7)."""
        if self._w.stop.is_set():
            return Signal.STOPPING
        held = self._in_term()
        self._drop_sink(held)
        held.session.check(held.term)  # rule 11: before our producer fences a successor's
        self._emit("relay.lease.checked", epoch=held.term.epoch)
        publisher = self._initialise(held)
        last = self._last_record()
        self._emit("relay.position.read", seq=last.progress.seq if last.progress else None)
        position, n = self._judged(held, last, publisher)
        publisher.progress = publisher.progress or last.progress
        if not held.term.bootstrapped:
            held.session.mark_bootstrapped(held.term)
            held.term = replace(held.term, bootstrapped=True)
            self._emit("relay.shard.bootstrapped")
        held.session.clear_halt(held.term)
        self._settle_in(held, position, n)
        return Signal.POSITIONED

    def _initialise(self, held: Held) -> Publisher:
        """Fence predecessors in Kafka; raise SinkUnavailableError if it takes too long."""
        sink = held.sink = self._w.make_sink(self.shard)
        deadline = self._w.clock() + _INITIALISE
        while not self._patience.call(lambda: sink.initialise(FEEL)):
            self._feel()
            if self._w.stop.is_set():
                raise StoppedError
            if self._w.clock() > deadline:
                raise SinkUnavailableError(f"init_transactions did not end within {_INITIALISE:.0f} s")
        self._emit("relay.producer.initialised", epoch=held.term.epoch)
        held.publisher = Publisher(
            session=held.session,
            term=held.term,
            installation=self._w.installation,
            envelope=self._w.envelope,
            topics=self._w.topics,
            patience=self._patience,
            emit=self._emit,
            sink=sink,
        )
        return held.publisher

    def _last_record(self) -> LastRecord:
        """Return the last record of our progress partition."""
        self._reader = self._reader or self._w.make_reader(self.shard)
        return self._patience.call(self._reader.last)

    def _judged(self, held: Held, last: LastRecord, publisher: Publisher) -> tuple[Position, int]:
        """Return the position, and what its barrier says of its window; raise HaltedError if it does not fit."""
        verdict = judge_position(
            last.progress,
            foreign=last.foreign,
            installation=self._w.installation,
            term=held.term,
            batch=held.session.batch(self.shard, last.progress.seq) if last.progress else None,
            now=held.session.current_snapshot(),
        )
        match verdict:
            case Unfit(reason):
                raise HaltedError(self.shard, reason)
            case Absent():
                self._bootstrap(publisher)
                return BEGINNING, 0
            case Accepted(position, n):
                return position, n

    def _bootstrap(self, publisher: Publisher) -> None:
        """Commit the first position of an installation: nothing has been published."""
        window = Window(seq=BEGINNING.seq, a=BEGINNING.a, b=BEGINNING.b, lo=0, olds=(), n=0)
        verdict = publisher.transact((), {}, BEGINNING, window=window, meanwhile=_nothing)
        if isinstance(verdict, Unclean):
            raise UncleanError(verdict.reason)
        self._emit("relay.bootstrap.committed")

    def _settle_in(self, held: Held, position: Position, n: int) -> None:
        """Begin to publish from *position*; what was suspected in this term is still."""
        now = self._w.clock()
        self._m = Memory(
            position=position, window_n=n, a=position.next_a, mirror_due=position, checked_at=now, committed_at=now
        )
        if held.isolation is None:
            parked = held.source.parked_keys()
            held.isolation = Isolation(
                held.session, held.term, parked=parked, policies=self._w.policies, emit=self._emit
            )
        self.standing.trouble = None
        self._emit("relay.position.accepted", seq=position.seq, last_id=position.last_id)

    # ------------------------------------------------------------------------------------------------- reading

    def _read(self) -> Signal:
        """Have a page in hand, if there is anything to publish."""
        if self._w.stop.is_set():
            return self._end()
        held, m = self._in_term(), self._m
        self._do_chores(held)
        if m.todo is None:
            m.todo, m.ahead = m.ahead, None
        if m.todo is None and not m.position.finished:
            window = held.source.resume(m.position, n=m.window_n)
            m.todo = self._page(held, window, after=m.position.last_id or 0)
        return Signal.FOUND if m.todo is not None else self._read_window(held)

    def _read_window(self, held: Held) -> Signal:
        """Find the window behind the finished one; without one, A := B in memory, and wait."""
        m = self._m
        if self._drain and m.finds:
            return self._end()
        idle = self._w.clock() - m.committed_at
        m.todo, m.a = self._find(held, seq=m.position.seq + 1, a=m.a)
        if m.todo is None and idle >= _HEARTBEAT:
            m.todo = Page(Window(seq=m.position.seq + 1, a=m.a, b=m.a, lo=0, olds=(), n=0), (), None)
        if m.todo is not None:
            m.idle_pause = None
            return Signal.FOUND
        if self._drain:
            return self._end()
        self._write_mirror(held, force=True)
        m.idle_pause = next_pause(m.idle_pause, idle_seconds=idle)
        self._w.stop.wait(m.idle_pause)
        return Signal.EMPTY

    def _find(self, held: Held, *, seq: int, a: str) -> tuple[Page | None, str]:
        """Return the first page between *a* and now, or None; and where to look from the next time."""
        self._m.finds += 1
        b = held.source.snapshot()
        self._emit("relay.snapshot.taken")
        window = held.source.find(seq=seq, a=a, b=b)
        if window is None:
            return None, b
        self._emit("relay.window.found", seq=seq, n=window.n)
        page = self._page(held, window, after=0)
        return (None, b) if page.exhausted and page.end is None else (page, a)

    def _page(self, held: Held, window: Window, *, after: int) -> Page:
        page = held.source.page(window, after=after)
        self._emit("relay.page.read", seq=window.seq, count=len(page.rows))
        return page

    def _read_ahead(self, held: Held, page: Page, after: Position) -> None:
        """Read what follows *page* while its commit is under way; dropped unless that is clean."""
        self._write_mirror(held, force=False)
        if after.last_id is not None:
            if after.last_id == page.end:
                self._m.ahead = self._page(held, page.window, after=page.end)
        elif not self._drain and held.isolation is not None and not held.isolation.parking:
            # Parked keys are released between two windows, and what was read before would miss that.
            self._m.ahead = self._find(held, seq=after.seq + 1, a=after.next_a)[0]

    def _end(self) -> Signal:
        """Leave in order: the mirror says how far we came."""
        self._write_mirror(self._in_term(), force=True)
        self._emit("relay.shard.stopped", seq=self._m.position.seq, published=self.standing.published)
        return Signal.STOPPING

    # -------------------------------------------------------------------------------------------------- chores

    def _do_chores(self, held: Held) -> None:
        """Do what is due between two pages: scheduled events, released keys, and a look at our last record."""
        now, m = self._w.clock(), self._m
        if now - m.checked_at >= _CHECK:
            self._check_progress(held)
        if now - m.chores_at < _CHORES:
            return
        m.chores_at = now
        while (released := held.source.release_due(rows=_DUE_ROWS)) > 0:
            self._emit("relay.schedule.released", count=released)
            if released < _DUE_ROWS or not self._drain:
                break
        between_windows = m.todo is None and m.position.finished
        if between_windows and held.isolation is not None and held.isolation.parking:
            heads = held.source.releasable_heads()
            if held.isolation.release(heads, a=m.a):
                m.ahead = None

    def _check_progress(self, held: Held) -> None:
        """Read our last progress record back: if it is another's, the topic is not ours alone (protocol 3)."""
        assert held.publisher is not None  # noqa: S101  # RENEWING made it
        last = self._last_record()
        self._m.checked_at = self._w.clock()
        if last.foreign or last.progress != held.publisher.progress:
            held.session.check(held.term)
            got = "one that no relay wrote" if last.foreign else last.progress
            raise HaltedError(self.shard, f"expected the last progress record to be ours, got {got}")
        self._emit("relay.progress.checked")

    def _write_mirror(self, held: Held, *, force: bool) -> None:
        """Note the confirmed position for people and retention, now and then; nothing while it has not moved."""
        now, m = self._w.clock(), self._m
        if m.mirror_due is None or (not force and now - m.mirrored_at < _MIRROR):
            return
        held.session.mirror(held.term, m.mirror_due)
        m.mirror_due, m.mirrored_at = None, now
        self._emit("relay.mirror.written")

    # ---------------------------------------------------------------------------------------------- publishing

    def _publish(self) -> Signal:
        """Publish what can go in one transaction out of the page in hand."""
        held, m = self._in_term(), self._m
        assert m.todo is not None  # noqa: S101  # READING found it
        assert held.publisher is not None  # noqa: S101  # RENEWING made both
        assert held.isolation is not None  # noqa: S101
        page = m.todo = held.isolation.hold_parked(m.todo, held.publisher)
        piece = held.isolation.next_slice(page)
        if held.isolation.guilty(piece):
            self._give_up(held.isolation, piece, held.publisher)
            m.todo = page.without(1)
            return Signal.GAVE_UP
        records, refused = held.publisher.encode(piece.rows)
        if refused:
            held.isolation.suspect(piece, refused)
            return Signal.GAVE_UP
        if held.publisher.outgrown:
            return Signal.UNCLEAN
        after = page.position_after(len(piece.rows))
        verdict = held.publisher.transact(
            piece.rows, records, after, window=page.window, meanwhile=lambda: self._read_ahead(held, page, after)
        )
        match verdict:
            case Clean():
                self._advance(held, page, piece, after)
                return Signal.CLEAN
            case Unclean(reason, suspects, code):
                self._emit("relay.page.failed", seq=after.seq, reason=reason, suspects=len(suspects), code=code)
                for topic in {record.topic for record in records.values()}:
                    self._w.topics.forget(topic)  # one may have been deleted, or have another limit now
                if not suspects:
                    raise UncleanError(reason)
                held.isolation.suspect(piece, {row: RecordRefusedError(code or 0, reason) for row in suspects})
                return Signal.UNCLEAN

    def _give_up(self, isolation: Isolation, piece: Slice, publisher: Publisher) -> None:
        row = piece.rows[0]
        try:
            isolation.give_up(row, publisher.topic(row))
        except BlockedError:
            isolation.retry(row)
            raise

    def _advance(self, held: Held, page: Page, piece: Slice, after: Position) -> None:
        """Move on behind what is committed."""
        m = self._m
        m.position = m.mirror_due = after
        m.window_n = page.window.n
        m.committed_at = self._w.clock()
        rest = page.without(len(piece.rows))
        m.todo = None if rest.exhausted else rest
        if held.isolation is not None:
            held.isolation.clear(piece.rows)
        self.standing.failures = 0
        self.standing.trouble = None
        self.standing.published += len(piece.rows)
        if after.finished:
            m.a = after.next_a
            self._emit("relay.window.finished", seq=after.seq)

    # ------------------------------------------------------------------------------------------------- endings

    def _in_term(self) -> Held:
        """Return the systems; they are there in every state but STANDING_BY."""
        assert self._held is not None  # noqa: S101
        return self._held

    def _drop_sink(self, held: Held) -> None:
        if held.sink is not None:
            self._patience.submit(held.sink.close)  # behind a commit that may still be under way there
        held.sink = held.publisher = None

    def _drop_session(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._drop_sink(held)
        if self._session is not None:
            self._session.close()
            self._session = None
        self._m = Memory()

    def _close(self) -> None:
        if self._held is not None:
            self._held.session.unlock(self.shard)
        self._drop_session()
        if self._reader is not None:
            self._reader.close()
        self._patience.background.close(0.1)


def _nothing() -> None:
    """Do nothing while the first position is committed: there is no page to read ahead."""
