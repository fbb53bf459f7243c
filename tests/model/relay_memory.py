"""What one relay process remembers: its term, the page in hand, the transaction that it fills."""

from typing import Self

from relay.lease import Term
from relay.machine import TRANSITIONS, Evidence, Signal, State
from relay.portion import Portion
from relay.window import BEGINNING, Page, Position, Row
from tests.model.kafka_model import Kafka
from tests.model.positions import page_key
from tests.model.rules import Rules

_FIRST = {
    State.STANDING_BY: "lock",
    State.RENEWING: "check",
    State.READING: "look",
    State.PUBLISHING: "fill",
    State.HALTED: "halted",
    State.STOPPED: "stopped",
}


class LeaseLost(Exception):  # noqa: N818  # a signal of the model, not an error
    """The step found that the term is over."""


class Filling:
    """One transaction that is being filled: with which rows, on which producer, and how far."""

    __slots__ = ("barred", "count", "epoch", "evidence", "lost", "page", "produced", "producer", "trouble")

    def __init__(self, page: Page, count: int, *, producer: int, epoch: int, barred: bool) -> None:
        """Begin with the first *count* rows of *page*; *barred*: its window's barrier is written."""
        self.page, self.count = page, count
        self.producer, self.epoch = producer, epoch
        self.produced = 0  # rows, and one more for the progress record
        self.barred = barred
        self.lost = False  # the barrier found that the term is over; what is being produced is produced to its end
        self.trouble: int | None = None
        self.evidence: Evidence | None = None

    def copy(self) -> "Filling":
        """Return a copy."""
        made = Filling.__new__(Filling)
        for name in Filling.__slots__:
            setattr(made, name, getattr(self, name))
        return made

    def key(self, kafka: Kafka) -> tuple[object, ...]:
        """Return what tells two apart: of a producer's epoch, whether it is the current one."""
        fresh = self.epoch == kafka.epochs[self.producer]
        facts = (self.count, self.producer, self.produced, self.barred, self.lost, self.trouble, self.evidence)
        return page_key(self.page), fresh, facts

    @property
    def rows(self) -> tuple[Row, ...]:
        """Return the rows that go in."""
        return self.page.rows[: self.count]

    @property
    def after(self) -> Position:
        """Return the position behind them."""
        return self.page.position_after(self.count)

    @property
    def full(self) -> bool:
        """Return whether nothing is missing but the end."""
        return self.produced > self.count and self.barred


class Memory:
    """One relay process, between two of its steps; *at* is the step that is next."""

    __slots__ = (
        "a", "ahead", "at", "barred_seq", "bound", "current", "dangling", "epochs", "following", "hand", "looked",
        "mirror_due", "mirrored", "n", "number", "portion", "position", "producers", "record", "rules", "state", "term",
        "turn",
    )  # fmt: skip

    def __init__(self, number: int, rules: Rules) -> None:
        """Be a process that has just started."""
        self.number, self.rules = number, rules
        self.producers = 2 if rules.taking_turns else 1
        self.portion = Portion()
        self.dangling: Filling | None = None
        self.state, self.at = State.STANDING_BY, "lock"
        self.forget_term()

    def forget_term(self) -> None:
        """Have no memory of a term; an EndTxn that another thread is about to send is still sent."""
        self.term: Term | None = None
        self.epochs: tuple[int | None, ...] = (None,) * self.producers
        self.forget()

    def forget(self) -> None:
        """Have no memory of what was read and produced, as a renewal begins."""
        self.barred_seq: int | None = None
        self.record: bytes | None = None
        self.position = BEGINNING
        self.n = self.turn = self.bound = 0
        self.a = BEGINNING.b
        self.hand: Page | None = None
        self.ahead: Page | None = None
        self.current: Filling | None = None
        self.following: Filling | None = None  # with two producers: the page that is filled while one commits
        self.looked = False
        self.mirror_due: int | None = None
        self.mirrored = False

    def copy(self) -> Self:
        """Return a copy that shares what is immutable."""
        made = type(self).__new__(type(self))
        for name in Memory.__slots__:
            setattr(made, name, getattr(self, name))
        for name in ("current", "following", "dangling"):
            filling = getattr(self, name)
            setattr(made, name, filling.copy() if filling else None)
        return made

    def key(self, kafka: Kafka) -> tuple[object, ...]:
        """Return what tells two states apart."""
        fresh = tuple(mine and mine == now for mine, now in zip(self.epochs, kafka.epochs, strict=False))
        fillings = tuple(
            filling.key(kafka) if filling else None for filling in (self.current, self.following, self.dangling)
        )
        return (
            self.at, self.state, self.term, fresh, self.turn, self.record, self.position, self.n, self.a, self.bound,
            page_key(self.hand), page_key(self.ahead), self.barred_seq, self.mirror_due, self.mirrored, self.looked,
            self.portion, fillings,
        )  # fmt: skip

    @property
    def held(self) -> Term:
        """Return the term; there is one in every state but STANDING_BY."""
        assert self.term is not None
        return self.term

    @property
    def filling(self) -> Filling:
        """Return the transaction at work."""
        assert self.current is not None
        return self.current

    def signal(self, signal: Signal) -> None:
        """Go to the state that the product's table names."""
        self.state = TRANSITIONS[self.state][signal]
        self.at = _FIRST[self.state]
        if self.state is State.RENEWING:
            self.forget()
            self.at = "check" if self.rules.lease_before_init else "init"

    def lose(self) -> None:
        """End the term: what another thread is about to send is sent all the same."""
        if self.at == "commit" and self.current is not None and self.current.evidence is None:
            self.dangling = self.current
        self.forget_term()
        self.signal(Signal.REFUSED if self.state is State.STANDING_BY else Signal.LOST)

    def begin_filling(self, page: Page, count: int, *, producer: int) -> Filling:
        """Return a new transaction with the first *count* rows of *page*."""
        epoch = self.epochs[producer]
        assert epoch is not None
        return Filling(page, count, producer=producer, epoch=epoch, barred=self.barred_seq == page.window.seq)
