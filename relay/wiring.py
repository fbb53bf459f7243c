"""The values that a shard's loop is made of: how it gets at the systems, what it holds, and how it stands."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from outbox.envelope import Envelope
from relay.errors import PositionHiddenError
from relay.isolation import Isolation, Policies
from relay.lease import Holder, Installation, Term
from relay.leases import Session
from relay.patience import Stop
from relay.progress import ProgressReader
from relay.publisher import Publisher, Sink
from relay.source import Source
from relay.telemetry import Telemetry
from relay.topics import Topics


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
    explain: Callable[[Session, PositionHiddenError], PositionHiddenError] = lambda _, error: error
    shortage: Callable[[int], str | None] = lambda _: None
    clock: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class Held:
    """The systems as the holder of the lease has them; sink and publisher are new after each renewal."""

    session: Session
    source: Source
    term: Term
    sink: Sink | None = None
    publisher: Publisher | None = None
    isolation: Isolation | None = None


@dataclass(slots=True)
class Standing:
    """How the shard stands, for readiness and for the outcome."""

    trouble: str | None = "starting"  # why it does not publish at the moment
    standing_by: bool = False  # another relay is at work: nothing is wrong
    halted: str | None = None
    holder: Holder | None = None
    published: int = 0
    failures: int = 0  # in a row


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a shard's loop ended: *halted* to keep the guarantee, or stopped; *holder* if another relay has the lease."""

    shard: int
    halted: str | None = None
    holder: Holder | None = None
    published: int = 0
