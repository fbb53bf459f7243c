"""What the seed decides of a run with the scripted mail server: installation, and which fault comes when. No I/O."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Final

from tests.chaos.plan import seeded
from tests.chaos.scripted.fates import Step


class Fault(StrEnum):
    """What is done to the system; each kind has a schedule and a thread of its own."""

    KILL_AT = "worker killed at a step"
    PAUSE_AT = "worker paused at a step until its lease is over"
    KILL = "worker killed"
    TERMINATE = "worker asked to end"
    CONSUMER = "consumer killed"
    SWEEPER = "sweeper killed"
    POSTGRES = "PostgreSQL crashed"
    BROKER = "Kafka killed"
    AWAY = "mail server away"
    OFFSETS = "offsets set back to the beginning"
    OPERATOR = "redriven, settled or cancelled by an operator"


# Seconds between two of a kind, on average.
INTERVALS: Final[Mapping[Fault, float]] = {
    Fault.KILL_AT: 2.5,
    Fault.PAUSE_AT: 30.0,
    Fault.KILL: 25.0,
    Fault.TERMINATE: 20.0,
    Fault.CONSUMER: 15.0,
    Fault.SWEEPER: 10.0,
    Fault.POSTGRES: 25.0,
    Fault.BROKER: 70.0,
    Fault.AWAY: 20.0,
    Fault.OFFSETS: 60.0,
    Fault.OPERATOR: 3.0,
}
# Where a worker may be killed: before the server's answer, or just after it.
PLACES: Final = (
    (Step.CONNECT, False),
    (Step.EHLO, False),
    (Step.TLS, False),
    (Step.MAIL, False),
    (Step.RCPT, False),
    (Step.RCPT, True),
    (Step.DATA, False),
    (Step.BODY, False),
    (Step.DOT, False),
    (Step.DOT, True),
    (Step.RSET, False),
    (Step.QUIT, False),
)
_OFTEN: Final = (*PLACES, (Step.DOT, False), (Step.DOT, True), (Step.DOT, False), (Step.DOT, True))


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault: when, counted from the start of the storm, and a seed for what else is to be chosen."""

    at: float
    kind: Fault
    seed: int


@dataclass(frozen=True, slots=True)
class Shape:
    """The installation that a seed asks for. *route* has `plain` and `tls` for the two servers."""

    route: str
    pipelining: bool
    consumers: int
    sweepers: int

    @classmethod
    def of(cls, seed: int) -> "Shape":
        """Return the shape of *seed*."""
        chance = seeded(seed, "shape")
        return cls(
            route=chance.choice(["failover(plain tls)", "roundrobin(plain tls)", "failover(tls plain)", "tls"]),
            pipelining=chance.random() < 0.5,
            consumers=chance.choice([1, 2]),
            sweepers=chance.choice([1, 2]),
        )

    def processes(self) -> list[str]:
        """Return the names of the processes: two workers always."""
        return [
            *(f"worker-{n}" for n in (1, 2)),
            *(f"consumer-{n + 1}" for n in range(self.consumers)),
            *(f"sweeper-{n + 1}" for n in range(self.sweepers)),
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run."""

    seed: int
    seconds: float
    rate: float
    shape: Shape
    faults: tuple[Planned, ...] = field(default=())

    @classmethod
    def of(cls, seed: int, *, seconds: float, rate: float, intervals: Mapping[Fault, float] = INTERVALS) -> "Plan":
        """Return the plan of *seed*."""
        faults = sorted(
            (one for kind in Fault for one in _schedule(seed, kind, mean=intervals[kind], seconds=seconds)),
            key=lambda planned: planned.at,
        )
        return cls(seed, seconds, rate, Shape.of(seed), tuple(faults))

    def as_json(self) -> dict[str, object]:
        """Return what is written down beside the evidence."""
        return asdict(self)


def _schedule(seed: int, kind: Fault, *, mean: float, seconds: float) -> list[Planned]:
    """Return the faults of *kind*: a Poisson process, after the time in which processes start."""
    chance, at, found = seeded(seed, "mail", kind), 5.0, []
    while (at := at + chance.expovariate(1 / mean)) < seconds:
        found.append(Planned(round(at, 3), kind, chance.getrandbits(32)))
    return found


def place(chance: random.Random) -> tuple[Step, bool]:
    """Return where a worker is to be met: the step, and whether after the server's answer."""
    return chance.choice(_OFTEN)
