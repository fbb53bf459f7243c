"""What will happen, decided by the seed alone: the shape of the installation, and which fault comes when.

No I/O. The same seed, seconds and rates give the same plan; what a fault hits (which relay holds the lease just then)
is the systems' doing.
"""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Final

from tests.support.kafka_network import Action, Api, Fault
from tests.support.postgres_proxy import Cut, Loss


class FaultKind(StrEnum):
    """What is done to the system; each kind has a schedule and a thread of its own."""

    KILL = "relay killed"
    ZOMBIE = "relay paused until it has a successor"
    TERMINATE = "relay asked to end"
    DRAIN = "drain beside"
    BROKER = "broker killed"
    POSTGRES = "PostgreSQL crashed"
    CUT = "connection to PostgreSQL cut"
    END_TXN = "EndTxn fault"
    REQUEST = "fault of another request"


# Seconds between two of a kind, on average. Dense: an event gets through only in the gaps, which is the point.
INTERVALS: Final[Mapping[FaultKind, float]] = {
    FaultKind.KILL: 1.8,
    FaultKind.ZOMBIE: 7.0,
    FaultKind.TERMINATE: 11.0,
    FaultKind.DRAIN: 13.0,
    FaultKind.BROKER: 17.0,
    FaultKind.POSTGRES: 20.0,
    FaultKind.CUT: 6.0,
    FaultKind.END_TXN: 2.8,
    FaultKind.REQUEST: 7.0,
}

_QUICK = 8
# EndTxn, mostly what is over at once; what makes the client wait for its 5 s costs those.
END_TXN: Final = (
    *[Fault(Api.END_TXN, Action.RESET_ANSWER)] * _QUICK,
    *[Fault(Api.END_TXN, Action.RESET_REQUEST)] * _QUICK,
    *[Fault(Api.END_TXN, Action.HOLD_AND_RESET, seconds=0.05)] * (_QUICK // 2),
    *[Fault(Api.END_TXN, Action.HOLD_AND_RESET, seconds=0.4)] * (_QUICK // 2),
    *[Fault(Api.END_TXN, Action.HOLD_AND_RESET, seconds=2.0)] * (_QUICK // 2),
    *[Fault(Api.END_TXN, Action.HOLD_ANSWER, seconds=0.7)] * (_QUICK // 2),
    Fault(Api.END_TXN, Action.LOSE_ANSWER),
    Fault(Api.END_TXN, Action.LOSE_REQUEST),
    Fault(Api.END_TXN, Action.HOLD_REQUEST, seconds=5.2),
)
REQUESTS: Final = (
    Fault(Api.PRODUCE, Action.RESET_ANSWER, times=2),
    Fault(Api.PRODUCE, Action.RESET_REQUEST),
    Fault(Api.PRODUCE, Action.HOLD_AND_RESET, seconds=1.0),
    Fault(Api.PRODUCE, Action.LOSE_ANSWER),
    Fault(Api.ADD_PARTITIONS_TO_TXN, Action.RESET_ANSWER),
    Fault(Api.ADD_PARTITIONS_TO_TXN, Action.RESET_REQUEST),
    Fault(Api.ADD_PARTITIONS_TO_TXN, Action.HOLD_AND_RESET, seconds=1.0),
    Fault(Api.INIT_PRODUCER_ID, Action.RESET_ANSWER),
    Fault(Api.INIT_PRODUCER_ID, Action.HOLD_AND_RESET, seconds=1.0),
    Fault(Api.FIND_COORDINATOR, Action.RESET_ANSWER),
)
# Statements by the name that travels with them.
_STATEMENTS: Final = (
    "relay/write_barrier",
    "relay/raise_epoch",
    "relay/try_lock",
    "relay/check_lease",
    "relay/mirror_position",
    "relay/read_page",
    "relay/find_range",
    "relay/insert_dead_letters",
    "relay/release_key",
    "COMMIT",
)
_LOSSES: Final = (Loss.STATEMENT, Loss.ANSWER, Loss.ANSWER)
# Where a relay that is started may kill itself, at most so many of these events later.
CRASH_POINTS: Final = (
    "relay.epoch.raised",
    "relay.producer.initialised",
    "relay.position.accepted",
    "relay.window.found",
    "relay.transaction.begun",
    "relay.page.produced",
    "relay.barrier.written",
    "relay.commit.started",
    "relay.commit.answered",
    "relay.page.committed",
    "relay.dead_letter.written",
)


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault: when, counted from the start of the storm, and a seed for what else is to be chosen."""

    at: float
    kind: FaultKind
    seed: int


@dataclass(frozen=True, slots=True)
class Shape:
    """The installation that a seed asks for."""

    shards: int
    page_rows: int
    policy: str
    retention: bool

    @classmethod
    def of(cls, seed: int) -> "Shape":
        """Return the shape of *seed*."""
        chance = seeded(seed, "shape")
        return cls(
            shards=chance.choice([1, 3]),
            page_rows=chance.choice([40, 150, 500, 2000]),
            policy=chance.choice(["park-key", "skip"]),
            retention=chance.random() < 0.4,
        )

    def settings(self) -> dict[str, object]:
        """Return the settings of its relays."""
        made: dict[str, object] = {"relay_page_rows": self.page_rows, "relay_poison_policy": self.policy}
        if self.retention:  # what is confirmed goes at once, a few rows at a time
            made |= {"relay_retention_days": 0.000001, "relay_retention_interval_seconds": 0.5}
        return made


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run."""

    seed: int
    seconds: float
    intervals: Mapping[FaultKind, float]
    shape: Shape
    faults: tuple[Planned, ...] = field(default=())

    @classmethod
    def of(cls, seed: int, *, seconds: float, intervals: Mapping[FaultKind, float] | None = None) -> "Plan":
        """Return the plan of *seed*; an interval of 0 leaves a kind out."""
        given = dict(INTERVALS) | dict(intervals or {})
        faults = sorted(
            (one for kind in FaultKind for one in _schedule(seed, kind, mean=given[kind], seconds=seconds)),
            key=lambda planned: planned.at,
        )
        return cls(seed, seconds, given, Shape.of(seed), tuple(faults))

    def as_json(self) -> dict[str, object]:
        """Return what is written down beside the evidence."""
        return asdict(self)


def seeded(seed: int, *names: object) -> random.Random:
    """Return the chance of one purpose, so that no purpose's draws depend on another's."""
    return random.Random("/".join(map(str, (seed, *names))))  # noqa: S311 - replayable, not secret


def _schedule(seed: int, kind: FaultKind, *, mean: float, seconds: float) -> list[Planned]:
    """Return the faults of *kind*: a Poisson process, after a moment in which things come up."""
    chance, at, found = seeded(seed, "schedule", kind), 2.0, []
    while mean > 0 and (at := at + chance.expovariate(1 / mean)) < seconds:
        found.append(Planned(round(at, 3), kind, chance.getrandbits(32)))
    return found


def cut(chance: random.Random) -> Cut:
    """Return a cut of one of the relay's statements."""
    return Cut(chance.choice(_STATEMENTS), chance.choice(_LOSSES), after=chance.randrange(4))


def crash_point(chance: random.Random) -> str | None:
    """Return where a relay that is being started is to kill itself, as `event:n`; mostly nowhere."""
    if chance.random() > 0.25:
        return None
    return f"{chance.choice(CRASH_POINTS)}:{chance.choice([1, 1, 2, 3, 5, 10, 30])}"
