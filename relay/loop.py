"""One shard, from standing by to publishing: runs the steps of `machine.py` against the systems.

Whatever is not certain is answered by Kafka, after a new producer has fenced the old one; whatever PostgreSQL does not
confirm ends the term, and everything that only this term knew is forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from relay.errors import (
    INSPECT,
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
    cure,
    grant,
)
from relay.feed import Feed
from relay.isolation import Isolation
from relay.leases import DISCONNECTS, Session
from relay.machine import TOPIC_UNAUTHORISED, TRANSITIONS, Clean, Signal, Slice, State, Unclean, next_pause, retry_pause
from relay.patience import Patience
from relay.portion import Portion
from relay.publisher import Publisher
from relay.replicas import WAITING
from relay.takeover import Takeover
from relay.window import Page, Position
from relay.wiring import Held, Outcome, Standing, Wiring

# Seconds.
_STANDBY = 0.25  # a standby takes over within 2 s of the holder's death
_RECONNECT = 1.0  # the longest wait for a PostgreSQL that is away
_RETRY = 5.0  # the longest wait for a Kafka that is
_MIRROR = 0.2
_CHORES = 0.25
_CHECK = 60.0  # how often our last progress record is read back (protocol 3)
_HEARTBEAT = 3600.0  # an idle window, so that transactional and producer ids do not expire
_BLOCKED = 5.0
_DUE_ROWS = 1000
# A drain gives up after so many failures in a row; a service goes on.
_DRAIN_FAILURES = 3


@dataclass(slots=True)
class Timing:
    """When things were last done, by the loop's clock; and what the mirror does not say yet."""

    checked_at: float
    committed_at: float
    mirror_due: Position | None
    mirrored_at: float = float("-inf")
    chores_at: float = float("-inf")
    idle_pause: float | None = None


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
        self._takeover = Takeover(wiring, shard, patience=self._patience, emit=self._emit)
        self._session: Session | None = None
        self._term: Held | None = None
        self._feed: Feed | None = None
        self._timing = Timing(0.0, 0.0, None)
        self._portion = Portion()

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
            return self._stopping() or step()
        except HaltedError as error:
            return self._halt(error)
        except BlockedError as error:
            return self._guarded(partial(self._block, error))
        except StoppedError:
            return Signal.STOPPING
        except (LeaseLostError, *DISCONNECTS) as error:
            return self._lose(error)
        except (UncleanError, SinkUnavailableError, BarrierNotDurableError) as error:
            return self._guarded(partial(self._fail, error))

    def _guarded(self, wait: Callable[[], Signal]) -> Signal:
        """Return the signal of *wait*, during which the lease may be lost, or we may be asked to stop."""
        try:
            return wait()
        except StoppedError:
            return Signal.STOPPING
        except (LeaseLostError, *DISCONNECTS) as error:
            return self._lose(error)

    def _stopping(self) -> Signal | None:
        """Return that we are to stop, if so; a page in hand is tried to its end first."""
        if not self._w.stop.is_set() or self.state is State.PUBLISHING:
            return None
        return self._end() if self.state is State.READING else Signal.STOPPING

    def _lose(self, error: Exception) -> Signal:
        """End the term: its lease, its producer and its memory are gone (protocol 2)."""
        self._note_trouble(reason := " ".join(str(error).split()) or type(error).__name__)
        self._emit("relay.lease.lost", reason=reason)
        self._drop_session()
        if self.state is not State.STANDING_BY:
            return Signal.LOST
        self._wait_after_failure(_RECONNECT)
        return Signal.REFUSED

    def _fail(self, error: RelayError) -> Signal:
        """Wait a little, and have a new producer ask Kafka where we are."""
        reason = str(error)
        if not isinstance(error, BarrierNotDurableError) and (short := self._shortage()):
            reason = f"{WAITING}: {short} ({reason})"
            self._note_short(reason)
        self._note_trouble(reason)
        self._emit("relay.renewal.failed", failures=self.standing.failures + 1, reason=reason)
        if self._drain and self.standing.failures + 1 >= _DRAIN_FAILURES:
            raise error
        self._wait_after_failure(_RETRY)
        match self.state:
            case State.STANDING_BY:
                return Signal.REFUSED
            case State.RENEWING:
                return Signal.FAILED
            case State.READING | State.PUBLISHING | State.HALTED | State.STOPPED:
                return Signal.UNCLEAN

    def _wait_after_failure(self, longest: float) -> None:
        self.standing.failures += 1
        self._patience.pause(min(retry_pause(self.standing.failures), longest))

    def _halt(self, error: HaltedError) -> Signal:
        """Stop to keep the guarantee, and note why where an operator looks."""
        self.standing.halted = self.standing.trouble = error.reason
        self._emit("relay.shard.halted", reason=error.reason, inspect=INSPECT, resolve=cure(self.shard, error.reason))
        if self._term is not None:
            self._term.session.note_halt(self.shard, epoch=self._term.term.epoch, reason=error.noted)
        return Signal.UNFIT

    def _block(self, error: BlockedError) -> Signal:
        """Stop before an event that cannot be published, say so, and try again now and then."""
        if self._drain:
            raise error
        held = self._held()
        self._note_trouble(str(error))
        self._emit("relay.shard.blocked", event_id=error.event_id, topic=error.topic, reason=error.reason)
        held.session.note_halt(self.shard, epoch=held.term.epoch, reason=str(error))
        self._w.topics.forget(error.topic)
        self._patience.pause(_BLOCKED)
        return Signal.BLOCKED

    def _feel(self) -> None:
        """Keep the lease alive, and raise if it is lost."""
        if self._term is not None:
            self._term.session.check(self._term.term)

    def _note_trouble(self, trouble: str) -> None:
        """Have readiness say why we do not publish, though it may be our turn."""
        self.standing.trouble, self.standing.standing_by = trouble, False

    def _shortage(self) -> str | None:
        """Return what Kafka lacks for us to go on, so that nobody has to look for it; None if it lacks nothing."""
        try:
            return self._patience.call(lambda: self._w.shortage(self.shard))
        except SinkUnavailableError as error:
            return error.problem

    def _note_short(self, reason: str) -> None:
        """Say where an operator looks that the brokers are to be mended, and that the shard then goes on by itself."""
        self._emit("relay.kafka.short", reason=reason)
        if self._term is not None:
            self._term.session.note_halt(self.shard, epoch=self._term.term.epoch, reason=reason)

    def _note_well(self, held: Held) -> None:
        """Forget the trouble: a page was clean, or nothing is there to publish. A renewal alone does not show that."""
        if self.standing.trouble is None:
            return
        held.session.clear_halt(held.term)
        self.standing.trouble = None
        self._emit("relay.shard.recovered")

    # ------------------------------------------------------------------------------------------ taking over

    def _stand_by(self) -> Signal:
        """Take the lease, if nobody holds it."""
        try:
            session = self._session = self._session or self._takeover.open_session()
        except SourceUnavailableError as error:
            if self._drain:
                raise
            self._note_trouble(str(error))
            self._emit("relay.session.failed", failures=self.standing.failures + 1, reason=str(error))
            self._wait_after_failure(_RECONNECT)
            return Signal.REFUSED
        self._term = self._takeover.begin_term(session)
        if self._term is not None:
            if self.standing.standing_by:
                self._note_trouble("taking over")
            return Signal.GRANTED
        self.standing.trouble, self.standing.standing_by = "standing by: another relay holds the lease", True
        if self._drain:
            self.standing.holder = session.holder(self.shard)
            return Signal.STOPPING
        self._w.stop.wait(_STANDBY)
        return Signal.REFUSED

    def _renew(self) -> Signal:
        """Have a new producer, and let Kafka say where we are; what was suspected in this term is still."""
        held, before = self._held(), self._feed.position if self._feed else None
        self._drop_sink(held)
        position, n = self._takeover.renew(held)
        if before is not None and not position.reaches(before):
            # A marker was lost, and that of a later transaction, which was aborted, has ended both.
            raise HaltedError(self.shard, f"Kafka lost a page that it had committed: expected {before}, got {position}")
        if before is not None and position != before:
            self.standing.failures = 0  # it was committed, though its end was not clean
        self._feed = Feed(held.source, position, n=n, emit=self._emit)
        now = self._w.clock()
        self._timing = Timing(checked_at=now, committed_at=now, mirror_due=position)
        return Signal.POSITIONED

    # ------------------------------------------------------------------------------------------------- reading

    def _read(self) -> Signal:
        """Have a page in hand, if there is anything to publish."""
        held, feed = self._held(), self._fed()
        self._do_chores(held, feed)
        if feed.page() is not None:
            return Signal.FOUND
        if self._drain and feed.finds:
            return self._end()  # the last page was clean
        idle = self._w.clock() - self._timing.committed_at
        found = feed.find()
        if found is None and idle >= _HEARTBEAT:
            found = feed.beat()
        if found is not None:
            self._timing.idle_pause = None
            return Signal.FOUND
        self._note_well(held)
        if self._drain:
            return self._end()
        self._write_mirror(held, force=True)
        pause = self._timing.idle_pause = next_pause(self._timing.idle_pause, idle_seconds=idle)
        self._w.stop.wait(pause)
        return Signal.EMPTY

    def _end(self) -> Signal:
        """Leave in order: the mirror says how far we came."""
        self._write_mirror(self._held(), force=True)
        self._emit("relay.shard.stopped", seq=self._fed().position.seq, published=self.standing.published)
        return Signal.STOPPING

    def _do_chores(self, held: Held, feed: Feed) -> None:
        """Do what is due between two pages: scheduled events, released keys, and a look at our last record."""
        now, timing = self._w.clock(), self._timing
        if now - timing.checked_at >= _CHECK:
            self._check_progress(held)
        if now - timing.chores_at < _CHORES:
            return
        timing.chores_at = now
        while (released := held.source.release_due(rows=_DUE_ROWS)) > 0:
            self._emit("relay.schedule.released", count=released)
            if released < _DUE_ROWS or not self._drain:
                break
        if feed.between_windows and held.isolation is not None and held.isolation.parking:
            heads = held.source.releasable_heads()
            if held.isolation.release(heads, a=feed.a):
                feed.drop_ahead()

    def _check_progress(self, held: Held) -> None:
        """Read our last progress record back: if it is another's, the topic is not ours alone (protocol 3)."""
        last = self._takeover.last_record()
        self._timing.checked_at = self._w.clock()
        if last.foreign or held.publisher is None or last.progress != held.publisher.progress:
            held.session.check(held.term)
            got = "one that no relay wrote" if last.foreign else last.progress
            raise HaltedError(self.shard, f"expected the last progress record to be ours, got {got}")
        self._emit("relay.progress.checked")

    def _write_mirror(self, held: Held, *, force: bool) -> None:
        """Note the confirmed position for people and retention, now and then; nothing while it has not moved."""
        now, timing = self._w.clock(), self._timing
        if timing.mirror_due is None or (not force and now - timing.mirrored_at < _MIRROR):
            return
        held.session.mirror(held.term, timing.mirror_due)
        timing.mirror_due, timing.mirrored_at = None, now
        self._emit("relay.mirror.written")

    # ---------------------------------------------------------------------------------------------- publishing

    def _publish(self) -> Signal:
        """Publish what can go in one transaction out of the page in hand."""
        held, feed = self._held(), self._fed()
        page, publisher, isolation = feed.page(), held.publisher, held.isolation
        assert page is not None  # noqa: S101  # READING found it
        assert publisher is not None  # noqa: S101  # RENEWING made both
        assert isolation is not None  # noqa: S101
        page = isolation.hold_parked(page, publisher)
        feed.keep(page)
        held.term = isolation.term
        publisher.go_on_as(held.term)
        piece = self._portion.of(isolation.next_slice(page))
        if isolation.guilty(piece):
            self._give_up(isolation, piece, publisher)
            held.term = isolation.term
            feed.keep(page.without(1))
            return Signal.GAVE_UP
        records, refused = publisher.encode(piece.rows)
        if publisher.outgrown:
            return Signal.UNCLEAN
        if refused:
            isolation.suspect(piece, refused)
            for row in piece.rows:
                if row.id in refused:
                    self._w.topics.forget(publisher.topic(row))  # its limit may have been raised since we looked
            return Signal.GAVE_UP
        after = page.position_after(len(piece.rows))
        verdict = publisher.transact(
            piece.rows,
            records,
            after,
            window=page.window,
            meanwhile=lambda: self._meanwhile(held, page, after),
            patient=self._portion.patient,
        )
        match verdict:
            case Clean(seconds):
                self._portion = self._portion.grown(len(piece.rows), seconds=seconds)
                self._advance(isolation, page, piece, after)
                return Signal.CLEAN
            case Unclean():
                for topic in {record.topic for record in records.values()}:
                    self._w.topics.forget(topic)  # one may have been deleted, or have another limit now
                return self._doubt(isolation, piece, verdict, seq=after.seq)

    def _meanwhile(self, held: Held, page: Page, after: Position) -> None:
        """Use the time of a commit: write the mirror of the one before, and read what follows."""
        self._write_mirror(held, force=False)
        # Parked keys are released between two windows, and what was read before would miss that.
        parking = held.isolation is not None and held.isolation.parking
        rows = self._fed().read_ahead(page, after, across=not self._drain and not parking)
        if rows and held.publisher is not None:
            held.publisher.encode_ahead(rows)

    def _doubt(self, isolation: Isolation, piece: Slice, verdict: Unclean, *, seq: int) -> Signal:
        """Tell what was not clean, and note whose fault it may have been; without any, wait before the next try."""
        suspects = len(verdict.suspects)
        self._emit("relay.page.failed", seq=seq, reason=verdict.reason, suspects=suspects, code=verdict.code)
        slow = verdict.slow and self._shortage() is None  # what lacks replicas takes no smaller page either
        smaller = self._portion.halved(len(piece.rows)) if slow else self._portion
        if smaller != self._portion:
            self._portion = smaller
            self._note_trouble(verdict.reason)
            self._emit("relay.page.halved", seq=seq, rows=smaller.rows)
            return Signal.UNCLEAN
        if not suspects:
            raise UncleanError(verdict.reason)
        isolation.suspect(
            piece, {row: RecordRefusedError(verdict.code or 0, verdict.reason) for row in verdict.suspects}
        )
        return Signal.UNCLEAN

    def _give_up(self, isolation: Isolation, piece: Slice, publisher: Publisher) -> None:
        """Give up the suspect in *piece*, or wait before it; an authorisation that the page lacks is no fault of it."""
        row, topic = piece.rows[0], publisher.topic(piece.rows[0])
        if isolation.code(row) == TOPIC_UNAUTHORISED and self._patience.call(lambda: self._w.topics.writable(topic)):
            # It fails a transaction without naming the topic: it may be the progress topic's, and then hits everyone.
            isolation.retry(row)
            raise UncleanError(
                f"topic {topic!r} may be written to, and the transaction is refused for lack of rights on another: "
                + grant("topic", self._w.installation.progress_topic, "Write")
            )
        try:
            isolation.give_up(row, topic)
        except BlockedError:
            isolation.retry(row)
            raise

    def _advance(self, isolation: Isolation, page: Page, piece: Slice, after: Position) -> None:
        """Move on behind what is committed."""
        isolation.clear(piece.rows)
        self._fed().advance(page, len(piece.rows), after)
        self._timing.mirror_due = after
        self._timing.committed_at = self._w.clock()
        self.standing.failures = 0
        self.standing.published += len(piece.rows)
        self._note_well(self._held())

    # ------------------------------------------------------------------------------------------------- endings

    def _held(self) -> Held:
        """Return what the holder of the lease has; it is there in every state but STANDING_BY."""
        assert self._term is not None  # noqa: S101
        return self._term

    def _fed(self) -> Feed:
        """Return the feed; RENEWING made it."""
        assert self._feed is not None  # noqa: S101
        return self._feed

    def _drop_sink(self, held: Held) -> None:
        if held.sink is not None:
            self._patience.submit(held.sink.close)  # behind a commit that may still be under way there
        held.sink = held.publisher = None
        self._feed = None

    def _drop_session(self) -> None:
        held, self._term = self._term, None
        if held is not None:
            self._drop_sink(held)
        if self._session is not None:
            self._session.close()
            self._session = None

    def _close(self) -> None:
        if self._term is not None:
            self._term.session.unlock(self.shard)
        self._drop_session()
        self._takeover.close()
        self._patience.background.close(0.1)
