"""Taking over a shard, in the order that the protocol prescribes (2.1 to 2.7); every step of it has its reason there.

The lease is checked before a producer is initialised (rule 11), the producer fences predecessors before the end of the
progress partition is read, and the position is believed only if PostgreSQL can prove it (rule 5).
"""

from dataclasses import replace

from relay.errors import HaltedError, PositionHiddenError, SinkUnavailableError, StoppedError, UncleanError
from relay.isolation import Isolation
from relay.lease import Absent, Accepted, Unfit, judge_history, judge_position
from relay.leases import Session
from relay.machine import Unclean
from relay.patience import FEEL, Patience
from relay.progress import LastRecord, ProgressReader, ensure_progress_topic
from relay.publisher import Publisher
from relay.telemetry import Emit
from relay.window import BEGINNING, Position, Window
from relay.wiring import Held, Wiring

# Seconds (protocol 2.4).
_INITIALISE = 30.0


class Takeover:
    """Takes over one shard, and renews its producer."""

    def __init__(self, wiring: Wiring, shard: int, *, patience: Patience, emit: Emit) -> None:
        """Prepare; nothing is connected yet."""
        self._w = wiring
        self._shard = shard
        self._patience = patience
        self._emit = emit
        self._reader: ProgressReader | None = None

    # ------------------------------------------------------------------------------------------- the session

    def open_session(self) -> Session:
        """Return a session on a primary that is ours, with a progress topic that is fit (2.1)."""
        session = self._w.open_session(f"shard {self._shard}")
        try:
            self._check(session)
        except HaltedError as error:
            session.note_halt(self._shard, epoch=None, reason=error.noted)
            session.close()
            raise
        except BaseException:
            session.close()
            raise
        self._emit("relay.session.opened", pid=session.connection.info.backend_pid)
        return session

    def _check(self, session: Session) -> None:
        installation, topics = self._w.installation, self._w.topics
        if reason := judge_history(session.facts(), installation):
            raise HaltedError(self._shard, reason)
        if (found := session.installation()) != installation:
            raise HaltedError(self._shard, f"outbox.meta changed: expected {installation}, got {found}; start again")
        bootstrapped = session.any_bootstrapped()
        self._patience.call(lambda: ensure_progress_topic(topics, installation, bootstrapped=bootstrapped))
        self._patience.call(self._progress().warm_up)

    def begin_term(self, session: Session) -> Held | None:
        """Take the lease and raise the epoch (2.2, 2.3); None if another relay holds the lease."""
        if not session.try_lock(self._shard):
            self._emit("relay.lease.refused")
            return None
        self._emit("relay.lease.granted")
        term = session.raise_epoch(self._shard, shards=self._w.installation.shards)
        self._emit("relay.epoch.raised", epoch=term.epoch)
        return Held(session, self._w.make_source(session, self._shard), term)

    # ------------------------------------------------------------------------------------------- the position

    def renew(self, held: Held) -> tuple[Position, int]:
        """Have a new producer, and return where Kafka says we are, with the size of that window (2.4 to 2.7)."""
        held.session.check(held.term)
        self._emit("relay.lease.checked", epoch=held.term.epoch)
        publisher = held.publisher = self._initialised(held)
        try:
            last = self.last_record()
        except PositionHiddenError as error:
            raise self._explained(held.session, error) from None
        self._emit("relay.position.read", seq=last.progress.seq if last.progress else None)
        position, n = self._judged(held, last, publisher)
        publisher.progress = publisher.progress or last.progress
        if not held.term.bootstrapped:
            held.session.mark_bootstrapped(held.term)
            held.term = replace(held.term, bootstrapped=True)
            self._emit("relay.shard.bootstrapped")
        if held.isolation is None:
            parked = held.source.parked_keys()
            held.isolation = Isolation(
                held.session, held.term, parked=parked, policies=self._w.policies, emit=self._emit
            )
        self._emit("relay.position.accepted", seq=position.seq, last_id=position.last_id)
        return position, n

    def _explained(self, session: Session, error: PositionHiddenError) -> PositionHiddenError:
        """Return *error* with what hides the position, and how that ended."""
        return self._patience.call(lambda: self._w.explain(session, error))

    def last_record(self) -> LastRecord:
        """Return the last record of our progress partition."""
        return self._patience.call(self._progress().last)

    def close(self) -> None:
        """Drop the reader."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _progress(self) -> ProgressReader:
        self._reader = self._reader or self._w.make_reader(self._shard)
        return self._reader

    def _initialised(self, held: Held) -> Publisher:
        """Fence predecessors in Kafka; raise SinkUnavailableError if it takes too long."""
        sink = held.sink = self._w.make_sink(self._shard)
        deadline = self._w.clock() + _INITIALISE
        while not self._patience.call(lambda: sink.initialise(FEEL)):
            held.session.check(held.term)
            if self._w.stop.is_set():
                raise StoppedError
            if self._w.clock() > deadline:
                raise SinkUnavailableError(f"init_transactions did not end within {_INITIALISE:.0f} s")
        self._emit("relay.producer.initialised", epoch=held.term.epoch)
        return Publisher(
            session=held.session,
            term=held.term,
            installation=self._w.installation,
            envelope=self._w.envelope,
            topics=self._w.topics,
            patience=self._patience,
            emit=self._emit,
            sink=sink,
        )

    def _judged(self, held: Held, last: LastRecord, publisher: Publisher) -> tuple[Position, int]:
        """Return the position, and what its barrier says of its window; raise HaltedError if it does not fit."""
        verdict = judge_position(
            last.progress,
            foreign=last.foreign,
            installation=self._w.installation,
            term=held.term,
            batch=held.session.batch(self._shard, last.progress.seq) if last.progress else None,
            now=held.session.current_snapshot(),
        )
        match verdict:
            case Unfit(reason):
                raise HaltedError(self._shard, reason)
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


def _nothing() -> None:
    """Do nothing while the first position is committed: there is no page to read ahead."""
