"""What a drain needs, and what it holds: the claims of one batch, until each is sent or given back."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice, takewhile
from typing import Protocol, TypeVar
from uuid import UUID

from mailer.backoff import Backoff
from mailer.claims import BreakerRow, Claim, Failures, Intent, Outcome
from mailer.database import DATABASE_AWAY
from mailer.pacing import Limits
from mailer.reply import OutgoingMessage
from mailer.sending import Sender
from mailer.telemetry import logger

T = TypeVar("T")
# A window's attempts are over by then: what is left is for recording them, before the process's hard limit.
_SENDING_ENDS_WITHIN = 0.8
# Seconds between two tries to reach the database again, while outcomes wait to be recorded.
_RECONNECT_SECONDS = 0.5


class Deliveries(Protocol):
    """What a drain needs of the store: `mailer.store.Store` says what each does."""

    def take_permit(self, permit: UUID) -> bool: ...  # noqa: D102 - the store's words
    def claim(self, *, limit: int) -> tuple[tuple[Claim, ...], bool]: ...  # noqa: D102
    def look(self, *, before: Claim, limit: int) -> tuple[Mapping[str, BreakerRow], tuple[Claim, ...]]: ...  # noqa: D102
    def record(  # noqa: D102
        self, outcomes: Sequence[Outcome], failures: Sequence[Failures], recovered: Sequence[str]
    ) -> set[int]: ...
    def record_and_intend(  # noqa: D102
        self,
        outcomes: Sequence[Outcome],
        failures: Sequence[Failures],
        recovered: Sequence[str],
        intents: Sequence[Intent],
    ) -> tuple[set[int], set[int]]: ...
    def release(self, claims: Sequence[Claim], *, pause: timedelta) -> None: ...  # noqa: D102
    def breakers(self) -> Mapping[str, BreakerRow]: ...  # noqa: D102
    def probe(self, transport: str) -> bool: ...  # noqa: D102
    def reserve(self, seconds: Mapping[str, float], *, patience: timedelta) -> Mapping[str, float]: ...  # noqa: D102


class Composer(Protocol):
    """Makes what is sent of a claim."""

    def content(self, claim: Claim) -> tuple[bytes, str]:
        """Return the message's bytes and the version of its templates; raise UnsendableMailError if there are none."""
        ...

    def outgoing(self, claim: Claim, content: bytes) -> OutgoingMessage:
        """Return the message with its envelope."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How much, how long, how often."""

    claim: int
    window: int
    lease: timedelta
    backoff: Backoff
    # A permit is good for one claim, and for another as long as this is not over: the way through the broker takes
    # longer than a claim. Short, for a worker that is to stop ends when its permit does.
    permit: timedelta = timedelta(seconds=0.5)
    limits: Limits = field(default_factory=Limits)
    # The most urgent first; others follow them.
    lanes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Means:
    """What a worker process has to drain with; *wait* waits that many seconds, *jitter* returns one of [0, 1).

    *orders* are those in which the names of *transports* may be tried: one, unless some take turns.
    """

    store: Deliveries
    composer: Composer
    transports: Mapping[str, Sender]
    orders: Sequence[tuple[str, ...]]
    executor: Executor
    pace: Pace
    jitter: Callable[[], float]
    wait: Callable[[float], object]


class Held:
    """The claims that wait for their window, in order, since when they are ours, and what is said to the database."""

    def __init__(self, means: Means, claims: Sequence[Claim]) -> None:
        """Hold *claims* from now on."""
        self._means = means
        self._claims = deque(claims)
        self._began = time.monotonic()

    def __bool__(self) -> bool:
        """Return whether any claim waits."""
        return bool(self._claims)

    def ahead(self, count: int) -> list[Claim]:
        """Return the next *count*, which stay where they are."""
        return list(islice(self._claims, count))

    def take(self, count: int) -> list[Claim]:
        """Take the next *count* off."""
        return [self._claims.popleft() for _ in range(min(count, len(self._claims)))]

    def let_in(self, claims: Sequence[Claim]) -> None:
        """Let *claims*, which were made just now, go before all others."""
        # What is left of their time is counted from when the others were claimed, as theirs is.
        self.put_back([replace(claim, left=claim.left + self.elapsed()) for claim in claims])

    def take_while(self, fits: Callable[[Claim], bool], *, most: int | None = None) -> list[Claim]:
        """Take the next off as long as *fits*, and *most* at most."""
        return self.take(len(list(islice(takewhile(fits, self._claims), most))))

    def put_back(self, claims: Sequence[Claim]) -> None:
        """Let *claims* be the next again, in their order."""
        self._claims.extendleft(reversed(claims))

    def release(self, claims: Iterable[Claim], pause: timedelta) -> None:
        """Give *claims*, which were taken off, back to the queue."""
        if released := list(claims):
            self.insist(lambda: self._means.store.release(released, pause=pause))

    def release_rest(self, pause: timedelta) -> None:
        """Give everything that waits back to the queue."""
        self.release(self.take(len(self._claims)), pause)

    def insist(self, say: Callable[[], T]) -> T:
        """Return what *say* returns, saying it again while the database is away and our leases may still stand."""
        while True:
            try:
                return say()
            except DATABASE_AWAY as error:
                if self.elapsed() > self._means.pace.lease:
                    raise
                logger().warning("mailer.database.lost", error=type(error).__name__)
                self._means.wait(_RECONNECT_SECONDS)

    @property
    def until(self) -> float:
        """Return when every attempt has to be over, monotonic."""
        return self._began + self._means.pace.lease.total_seconds() * _SENDING_ENDS_WITHIN

    def elapsed(self) -> timedelta:
        """Return how much of the lease is over."""
        return timedelta(seconds=time.monotonic() - self._began)
