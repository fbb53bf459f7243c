"""Make the next window of a batch: which claims go, by which transports, with which bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailer.claims import BreakerRow, Claim, Intent, Outcome
from mailer.delivery import Dead
from mailer.errors import UnsendableMailError
from mailer.means import Held, Means
from mailer.reply import OutgoingMessage
from mailer.routing import Breaker, Route, Wait, route
from mailer.telemetry import logger


@dataclass(frozen=True, slots=True)
class Going:
    """A claim that is part of a window, with its way, its bytes, and how many seconds after the window it may go."""

    intent: Intent
    names: tuple[str, ...]
    message: OutgoingMessage
    after: float = 0.0

    @property
    def first(self) -> str:
        """Return the transport that is asked first."""
        return self.names[0]


@dataclass(frozen=True, slots=True)
class Window:
    """What goes next, which transport is being probed by it, and what cannot be made at all."""

    going: tuple[Going, ...] = ()
    probing: str | None = None
    dead: tuple[Outcome, ...] = ()


class Windows:
    """Takes one window after the other off the claims of a batch."""

    def __init__(self, means: Means, held: Held) -> None:
        """Make windows of what is *held*."""
        self._means = means
        self._held = held
        self._contents: dict[int, tuple[bytes, str | None] | Dead] = {}

    def next(self, breakers: Mapping[str, BreakerRow]) -> Window:
        """Take the next window off the claims; it is empty where all have to wait."""
        states = {row.name: Breaker(row.breaker, row.retry_in) for row in breakers.values()}
        # The first claim's order decides what is probed: where transports take turns, each comes first some time.
        way = self._way(states, self._order(*self._held.ahead(1)), None)
        if isinstance(way, Wait):
            self._held.release_rest(way.pause)
            return Window()
        going: list[Going] = []
        dead: list[Outcome] = []
        for claim in self._held.take(1 if way.probing else self._means.pace.window):
            own = self._own(claim, states, way)
            content = self.content(claim)
            if isinstance(own, Wait):
                self._held.release([claim], own.pause)
            elif isinstance(content, Dead):
                dead.append(Outcome(claim, content))
            else:
                intent = Intent(claim, *content, own.names[0])
                going.append(Going(intent, own.names, self._means.composer.outgoing(claim, content[0])))
        return Window(tuple(going), way.probing, tuple(dead))

    def _own(self, claim: Claim, states: Mapping[str, Breaker], way: Route) -> Route | Wait:
        """Return the way of *claim*: that of the window, in its own order, unless it is bound to one transport."""
        if claim.pinned_transport in self._means.transports:
            return self._way(states, self._order(claim), claim.pinned_transport)
        if way.probing:
            return way
        return Route(tuple(name for name in self._order(claim) if name in way.names))

    def _order(self, claim: Claim) -> tuple[str, ...]:
        """Return the names of the transports as *claim* prefers them, another way round at each attempt."""
        return self._means.orders[(claim.id + claim.attempt) % len(self._means.orders)]

    def _way(self, states: Mapping[str, Breaker], order: Sequence[str], pinned: str | None) -> Route | Wait:
        return route(order, breakers=states, probe=self._probe, pinned=pinned)

    def _probe(self, transport: str) -> bool:
        return self._held.insist(lambda: self._means.store.probe(transport))

    def content(self, claim: Claim) -> tuple[bytes, str | None] | Dead:
        """Return what is sent of *claim*: what was rendered at its first attempt, or else what is rendered now."""
        if claim.id not in self._contents:
            self._contents[claim.id] = self._made(claim)
        return self._contents[claim.id]

    def _made(self, claim: Claim) -> tuple[bytes, str | None] | Dead:
        if claim.content is not None:
            return claim.content, None
        try:
            return self._means.composer.content(claim)
        except UnsendableMailError as error:
            return Dead("unsendable", str(error))
        except Exception as error:  # noqa: BLE001 - a window may be under way: one mail's surprise must not lose it
            logger().error("mailer.delivery.surprised", delivery=claim.id, mail=claim.mail, error=type(error).__name__)
            return Dead("unsendable", f"{type(error).__name__} while it was made")
