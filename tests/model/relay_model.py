"""A relay in steps: the decisions are the product's own, each call to a system is one atomic step.

The steps stand for these calls, in the order in which the product makes them; `[…]` is what a step is called here.

STANDING_BY   [lock] Takeover.begin_term: Session.try_lock · [epoch] Session.raise_epoch
RENEWING      [check] Takeover.renew: Session.check · [init] Takeover._initialised: Sink.initialise
              [read] ProgressReader.last · [judge] Takeover._judged: Session.batch, current_snapshot, judge_position
              [produce] … [settle] Takeover._bootstrap, as below · [mark] Session.mark_bootstrapped
READING       [look] Feed.page, or Feed.find: Source.snapshot, find and page in one, for what commits between them is
              in a later window whichever is first
              [mirror] ShardLoop._write_mirror, with nothing else to do
PUBLISHING    [produce] Publisher._produce: Sink.produce a row, then Sink.produce_progress; beside it
              [barrier] Publisher._send_barrier: Session.write_barrier · [end] Sink.commit: EndTxn as it reaches Kafka
              [ahead] ShardLoop._meanwhile: Feed.read_ahead · [settle] judge_commit and ShardLoop._advance or _fail

Left out: poison, dead letters, parked keys, heartbeats, and everything that two threads of one relay do at once.
"""

from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

from outbox.envelope import StoredEvent
from relay.lease import Absent, Accepted, Batch, Installation, Term, Unfit, judge_position
from relay.machine import TRANSITIONS, Clean, Evidence, Signal, State, judge_commit
from relay.window import BEGINNING, Page, Position, Progress, Row, Window, decode_progress, digest
from tests.model.kafka_model import EVENTS, HANGING, PROGRESS, Kafka, LateEnd
from tests.model.postgres_model import ConnectionLostError, EventRow, Postgres
from tests.model.rules import Rules

INSTALLATION = Installation("model", 1, 7, 1)
PAGE_ROWS = 2
TIMED_OUT = -185
_FIRST = {
    State.STANDING_BY: "lock",
    State.RENEWING: "check",
    State.READING: "look",
    State.PUBLISHING: "produce",
    State.HALTED: "halted",
    State.STOPPED: "stopped",
}
_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
# What can come of an EndTxn, beside a plain answer. The client repeats it silently, or gives up.
END_FAULTS = ("held, repeated", "held, not repeated", "answer lost")


class LeaseLost(Exception):  # noqa: N818  # a signal of the model, not an error
    """The step found that the term is over."""


@lru_cache(maxsize=4096)
def row_of(event: EventRow) -> Row:
    """Return *event* as the product's source returns it."""
    return Row(event.id, StoredEvent(event.name, "t", event.key, "happened", "{}", None, None, _CREATED))


@lru_cache(maxsize=4096)
def decoded(value: bytes) -> Progress | None:
    """Return the progress record in *value*."""
    return decode_progress(value)


@lru_cache(maxsize=4096)
def encoded(epoch: int, after: Position, ids: tuple[int, ...]) -> bytes:
    """Return the progress record that Publisher._progress_record makes."""
    who = INSTALLATION
    seq = after.seq
    return Progress(
        install=who.install, gen=who.gen, sysid=who.sysid, shard=0, epoch=epoch, seq=seq, prev_seq=max(seq - 1, 0),
        a=after.a, b=after.b, last_id=after.last_id, n=len(ids), sha=digest(ids),
    ).encode()  # fmt: skip


class Filling:
    """One transaction that is being filled: on which producer, and how far."""

    __slots__ = ("barred", "evidence", "page", "produced", "producer", "trouble", "wanted")

    def __init__(self, page: Page, producer: int) -> None:
        self.page = page
        self.producer = producer
        self.produced = 0  # rows, and one more for the progress record
        self.barred = False
        self.trouble: int | None = None
        self.evidence: Evidence | None = None

    def copy(self) -> "Filling":
        made = Filling(self.page, self.producer)
        made.produced, made.barred, made.trouble, made.evidence = (
            self.produced,
            self.barred,
            self.trouble,
            self.evidence,
        )
        return made

    def key(self) -> tuple[object, ...]:
        return page_key(self.page), self.producer, self.produced, self.barred, self.trouble, self.evidence

    @property
    def filled(self) -> bool:
        return self.produced > len(self.page.rows)


def page_key(page: Page | None) -> object:
    """Return what tells two pages apart, without hashing their events."""
    if page is None:
        return None
    window = page.window
    return window.seq, window.a, window.b, window.lo, window.olds, tuple(row.id for row in page.rows), page.end


class RelayModel:
    """One relay process."""

    __slots__ = (
        "a", "ahead", "at", "barred_seq", "bound", "current", "epochs", "following", "hand", "mirror_due", "n",
        "number", "position", "producers", "record", "rules", "state", "term", "turn",
    )  # fmt: skip

    def __init__(self, number: int, rules: Rules) -> None:
        self.number = number
        self.rules = rules
        self.producers = 2 if rules.taking_turns else 1
        self.state, self.at = State.STANDING_BY, "lock"
        self.term: Term | None = None
        self.forget_all()

    def forget_all(self) -> None:
        """Have no memory of a term: the process is new, or its lease is lost."""
        self.term = None
        self.forget()

    def forget(self) -> None:
        """Have no memory of what was read and produced, as a renewal begins."""
        self.epochs: tuple[int, ...] = ()
        self.barred_seq: int | None = None
        self.record: bytes | None = None
        self.position = BEGINNING
        self.n = self.turn = self.bound = 0
        self.a = BEGINNING.b
        self.hand: Page | None = None
        self.ahead: Page | None = None
        self.current: Filling | None = None
        self.following: Filling | None = None  # with two producers: the page that is filled while one commits
        self.mirror_due: int | None = None

    def copy(self) -> "RelayModel":
        """Return a copy that shares what is immutable."""
        made = RelayModel.__new__(RelayModel)
        for name in RelayModel.__slots__:
            setattr(made, name, getattr(self, name))
        made.current = self.current.copy() if self.current else None
        made.following = self.following.copy() if self.following else None
        return made

    def key(self, kafka: Kafka) -> tuple[object, ...]:
        """Return what tells two states apart: of a producer's epoch, whether it is the current one."""
        fresh = tuple(mine == now for mine, now in zip(self.epochs, kafka.epochs, strict=False))
        current, following = self.current, self.following
        return (
            self.at, self.state, self.term, fresh, self.turn, self.record, self.position, self.n, self.a,
            self.bound, page_key(self.hand), page_key(self.ahead), self.barred_seq, self.mirror_due,
            current.key() if current else None, following.key() if following else None,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------- what can be next

    def choices(self, pg: Postgres, kafka: Kafka) -> list[str]:  # noqa: PLR0911  # a line a step
        """Return the steps that can be next; none while it waits for somebody else, or has nothing to do."""
        match self.at:
            case "halted" | "stopped" | "dead":
                return []
            case "lock":
                return ["lock"] if pg.holder is None else []
            case "init":
                return [] if any(kafka.busy(producer) for producer in range(self.producers)) else ["init"]
            case "read":
                return self._reading_choices(kafka)
            case "look":
                return self._looking_choices(pg)
            case "produce":
                return self._producing_choices(kafka)
            case "end":
                return ["end", *END_FAULTS]
            case _:
                return [self.at]

    def _reading_choices(self, kafka: Kafka) -> list[str]:
        if not self.rules.to_end_offset or kafka.last_stable_offset(PROGRESS) == kafka.end_offset(PROGRESS):
            return ["read"]
        owners = {entry.owner for entry in kafka.logs[PROGRESS]}
        # An open transaction of our successor ends by itself; one that hangs, or another shard's, may not in 30 s.
        return ["give up"] if HANGING in owners or self.producers in owners else []

    def _looking_choices(self, pg: Postgres) -> list[str]:
        idle = self.hand is None and self.ahead is None and self.position.finished
        if self.number in pg.sessions and idle and pg.snapshot() == self.a:
            return ["mirror"] if self.mirror_due is not None else []
        return ["look"]

    def _producing_choices(self, kafka: Kafka) -> list[str]:
        current = self.current
        assert current is not None
        found = []
        if not current.filled and not (current.produced == 0 and kafka.busy(current.producer)):
            found.append("produce")
        if not current.barred:
            found.append("barrier")
        return found

    # --------------------------------------------------------------------------------------------------- steps

    def act(self, choice: str, pg: Postgres, kafka: Kafka) -> str:
        """Do *choice*, and return what happened in words."""
        try:
            return self._act(choice, pg, kafka) or choice
        except (ConnectionLostError, LeaseLost) as lost:
            pg.disconnect(self.number)
            self.forget_all()
            self._signal(Signal.LOST if self.state is not State.STANDING_BY else Signal.REFUSED)
            return f"{choice}: {'the connection is gone' if isinstance(lost, ConnectionLostError) else 'fenced'}"

    def _act(self, choice: str, pg: Postgres, kafka: Kafka) -> str | None:
        if choice in END_FAULTS or choice == "end":
            return self._end(choice, kafka)
        step = getattr(self, "_" + choice.replace(" ", "_"))
        return step(pg, kafka)  # type: ignore[no-any-return]

    def _signal(self, signal: Signal) -> None:
        self.state = TRANSITIONS[self.state][signal]
        self.at = _FIRST[self.state]
        if self.state is State.RENEWING:
            self.forget()
            self.at = "check" if self.rules.lease_before_init else "init"

    def _lock(self, pg: Postgres, kafka: Kafka) -> str:
        del kafka
        pg.connect(self.number)
        pg.try_lock(self.number)
        self.at = "epoch"
        return "takes the lease"

    def _epoch(self, pg: Postgres, kafka: Kafka) -> str:
        del kafka
        self.term = pg.raise_epoch(self.number)
        self._signal(Signal.GRANTED)
        return f"raises the epoch to {self.term.epoch}"

    def _check(self, pg: Postgres, kafka: Kafka) -> str:
        del kafka
        epoch, held = pg.check_lease(self.number)
        if epoch != self._term.epoch or not held:
            raise LeaseLost
        self.at = "init" if self.rules.lease_before_init else "read"
        return "checks the lease"

    def _init(self, pg: Postgres, kafka: Kafka) -> str:
        del pg
        first_only = self.rules.taking_turns and not self.rules.both_initialised_first
        made = [kafka.initialise(producer) for producer in range(1 if first_only else self.producers)]
        if None in made:
            return "initialises its producer, and waits for markers"
        self.epochs = tuple(epoch for epoch in made if epoch is not None)
        self.at = "read" if self.rules.lease_before_init else "check"
        return f"initialises its producer: epoch {self.epochs}"

    def _read(self, pg: Postgres, kafka: Kafka) -> str:
        del pg
        ours = [value for value in kafka.read_committed(PROGRESS) if isinstance(value, bytes)]
        self.record = ours[-1] if ours else None
        self.at = "judge"
        return f"reads {_words(self.record)}"

    def _give_up(self, pg: Postgres, kafka: Kafka) -> str:
        del pg, kafka
        self._signal(Signal.UNFIT)
        return "halts: an open transaction hides the position"

    def _judge(self, pg: Postgres, kafka: Kafka) -> str:
        del kafka
        record = decoded(self.record) if self.record else None
        batch = pg.batch(self.number, record.seq) if record else None
        if record is not None and not self.rules.barrier:
            batch = Batch(record.a, record.b, record.epoch, record.n)  # there is none to ask
        verdict = judge_position(
            record, foreign=False, installation=INSTALLATION, term=self._term, batch=batch, now=pg.snapshot()
        )
        match verdict:
            case Unfit(reason):
                self._signal(Signal.UNFIT)
                return f"halts: {reason}"
            case Absent():
                window = Window(seq=0, a=BEGINNING.a, b=BEGINNING.b, lo=0, olds=(), n=0)
                self.current, self.at = Filling(Page(window, (), None), self.turn), "produce"
                return "finds no position: the first"
            case Accepted(position, n):
                self.position, self.n, self.a = position, n, position.next_a
                self._positioned()
                return f"goes on behind window {position.seq}, {position.last_id or 'finished'}"

    def _positioned(self) -> None:
        self.mirror_due = self.position.seq
        if self._term.bootstrapped:
            self._signal(Signal.POSITIONED)
        else:
            self.at = "mark"

    def _mark(self, pg: Postgres, kafka: Kafka) -> str:
        del kafka
        if not pg.mark_bootstrapped(self.number, epoch=self._term.epoch):
            raise LeaseLost
        self.term = replace(self._term, bootstrapped=True)
        self._signal(Signal.POSITIONED)
        return "notes that the shard is bootstrapped"

    # ---- reading

    def _look(self, pg: Postgres, kafka: Kafka) -> str:
        del kafka
        if self.hand is None:
            self.hand, self.ahead = self.ahead, None
        if self.hand is None and self.position.last_id is not None:
            self.hand = self._resumed(pg)
        if self.hand is not None:
            return self._found()
        pg.alive(self.number)
        b = pg.snapshot()
        self.hand, self.a = self._found_page(pg, seq=self.position.seq + 1, a=self.a, b=b)
        if self.hand is None:
            self._signal(Signal.EMPTY)
            return f"finds nothing up to {b}"
        return self._found()

    def _resumed(self, pg: Postgres) -> Page:
        position, last = self.position, self.position.last_id or 0
        olds = tuple(map(str, pg.old_transactions(self.number, position.a, position.b)))
        window = Window(seq=position.seq, a=position.a, b=position.b, lo=last, olds=olds, n=self.n)
        return self._page(pg, window, after=last)

    def _found(self) -> str:
        assert self.hand is not None
        self._signal(Signal.FOUND)
        if self.following is not None:
            self.current, self.following = self.following, None
        else:
            self.current = Filling(self.hand, self.turn)
        self.current.barred = self.current.page.window.seq == self.barred_seq
        if self.current.filled and self.current.barred:
            self.at = "end"
        return f"has a page: {_ids(self.hand)}"

    def _found_page(self, pg: Postgres, *, seq: int, a: str, b: str) -> tuple[Page | None, str]:
        """Return what Feed._find does."""
        if a == b:
            return None, b
        lo, n = pg.find_range(self.number, a, b)
        olds = tuple(map(str, pg.old_transactions(self.number, a, b)))
        if not self.rules.bound_from_rows:
            lo = self.bound
            self.bound = pg.image.next_id - 1
        if not n and not olds:
            return None, b
        page = self._page(pg, Window(seq=seq, a=a, b=b, lo=lo, olds=olds, n=n), after=0)
        return (None, b) if page.exhausted and page.end is None else (page, a)

    def _page(self, pg: Postgres, window: Window, *, after: int) -> Page:
        found = pg.read_page(
            self.number, a=window.a, b=window.b, lo=window.lo, olds=tuple(map(int, window.olds)), after=after
        )
        if not self.rules.from_xmax:
            low = int(window.a.split(":")[1])
            found = tuple(row for row in found if row.tx != low)
        if not self.rules.order_by_id:
            found = tuple(sorted(found, key=lambda row: (row.tx, row.id)))
        rows = tuple(row_of(row) for row in found[:PAGE_ROWS])
        return Page(window, rows, rows[-1].id if len(found) > PAGE_ROWS else None)

    def _mirror(self, pg: Postgres, kafka: Kafka) -> str:
        del kafka
        assert self.mirror_due is not None
        if not pg.mirror_position(self.number, epoch=self._term.epoch, seq=self.mirror_due):
            raise LeaseLost
        self.mirror_due = None
        return "writes the mirror"

    # ---- publishing

    @property
    def _term(self) -> Term:
        assert self.term is not None
        return self.term

    def _produce(self, pg: Postgres, kafka: Kafka) -> str:
        del pg
        assert self.current is not None
        words = self._fill(self.current, kafka)
        self._when_filled()
        return words

    def _fill(self, filling: Filling, kafka: Kafka) -> str:
        """Produce the next row of *filling*, or its position."""
        rows, n = filling.page.rows, filling.produced
        after = filling.page.position_after(len(rows))
        position = n == len(rows)
        value: object
        if position:
            partition, value = PROGRESS, encoded(self._term.epoch, after, tuple(row.id for row in rows))
        else:
            partition, value = EVENTS, (rows[n].id, rows[n].event.event_id, rows[n].event.aggregate_id)
        if filling.trouble is None:
            filling.trouble = kafka.produce(
                filling.producer, self.epochs[filling.producer], partition=partition, value=value,
                first=n == 0 or position,
            )  # fmt: skip
        filling.produced += 1
        what = f"the position {_words(value)}" if position else f"event {value!r}"
        return f"produces {what}" + (f": refused with {filling.trouble}" if filling.trouble else "")

    def _barrier(self, pg: Postgres, kafka: Kafka) -> str:
        del kafka
        assert self.current is not None
        window = self.current.page.window
        if self.rules.barrier:
            batch = Batch(window.a, window.b, self._term.epoch, window.n)
            if not pg.write_barrier(self.number, epoch=self._term.epoch, seq=window.seq, batch=batch):
                raise LeaseLost
        self.current.barred = True
        self.barred_seq = window.seq
        self._when_filled()
        return f"writes the barrier of window {window.seq}"

    def _when_filled(self) -> None:
        assert self.current is not None
        if self.current.filled and self.current.barred:
            self.at = "end"

    def _end(self, choice: str, kafka: Kafka) -> str:
        """Send EndTxn; what comes of it is *choice*."""
        current = self.current
        assert current is not None
        producer, epoch = current.producer, self.epochs[current.producer]
        self.at = "settle" if self.state is State.RENEWING else "ahead"
        if current.trouble is not None:
            current.evidence = Evidence((), 0.0, current.trouble, "refused")
            return "cannot commit"
        code = None if choice == "held, not repeated" else kafka.end(producer, epoch)
        if choice.startswith("held"):
            kafka.late = (*kafka.late, LateEnd(producer, epoch))
        if code is not None:
            current.evidence = Evidence((), 0.0, code, "fenced")
        elif choice == "end":
            current.evidence = Evidence(("NO_ERROR",), 0.0)
        elif choice == "held, repeated":
            current.evidence = Evidence(("_TRANSPORT", "NO_ERROR"), 0.0)
        else:
            current.evidence = Evidence((), 6.0, TIMED_OUT, "timed out")
        return "EndTxn" + (f" ({choice})" if choice != "end" else "") + (": fenced" if code else "")

    def _ahead(self, pg: Postgres, kafka: Kafka) -> str:
        del kafka
        assert self.current is not None
        page = self.current.page
        after = page.position_after(len(page.rows))
        self.at = "settle"
        if after.last_id is not None:
            self.ahead = self._page_alive(pg, page.window, after=after.last_id)
        else:
            pg.alive(self.number)
            self.ahead, _ = self._found_page(pg, seq=after.seq + 1, a=after.next_a, b=pg.snapshot())
        return f"reads ahead: {_ids(self.ahead)}"

    def _page_alive(self, pg: Postgres, window: Window, *, after: int) -> Page:
        pg.alive(self.number)
        return self._page(pg, window, after=after)

    def _settle(self, pg: Postgres, kafka: Kafka) -> str:
        """Judge how the transaction ended, and move on behind it, or begin again from what Kafka says."""
        del pg, kafka
        current = self.current
        assert current is not None
        assert current.evidence is not None
        page = current.page
        verdict = judge_commit(current.evidence, [row.id for row in page.rows])
        if not self.rules.renewal and current.evidence.code is None:
            verdict = Clean()
        if not isinstance(verdict, Clean):
            self._signal(Signal.UNCLEAN if self.state is State.PUBLISHING else Signal.FAILED)
            return f"unclean: {verdict.reason}"
        after = page.position_after(len(page.rows))
        if self.state is State.RENEWING:
            self.position, self.current = after, None
            self._positioned()
            return "clean: the first position is committed"
        self.position, self.n, self.mirror_due = after, page.window.n, after.seq
        self.hand = self.current = None
        if after.finished:
            self.a = after.next_a
        if self.rules.taking_turns:
            self.turn = 1 - self.turn
        self._signal(Signal.CLEAN)
        return "clean"


def _ids(page: Page | None) -> str:
    if page is None:
        return "nothing"
    more = "" if page.end is None else ", and more"
    return f"window {page.window.seq} ({page.window.a} to {page.window.b}), ids {[row.id for row in page.rows]}{more}"


def _words(value: object) -> str:
    if not isinstance(value, bytes):
        return "no position"
    progress = decoded(value)
    assert progress is not None
    return f"window {progress.seq}, last id {progress.last_id}, epoch {progress.epoch}"
