"""Make the next window of a batch: which claims go, by which transports, with which bytes."""

from collections.abc import Mapping
from dataclasses import dataclass

from mailer.claims import BreakerRow, Claim, Intent, Outcome
from mailer.delivery import Dead
from mailer.errors import UnsendableMailError
from mailer.means import Held, Means
from mailer.reply import OutgoingMessage
from mailer.routing import Breaker, Wait, route
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


def breakers_of(rows: Mapping[str, BreakerRow]) -> dict[str, Breaker]:
    """Return what a route asks of the breakers in *rows*."""
    return {row.name: Breaker(row.breaker, row.retry_in) for row in rows.values()}


class Windows:
    """Takes one window after the other off the claims of a batch."""

    def __init__(self, means: Means, held: Held) -> None:
        """Make windows of what is *held*."""
        self._means = means
        self._held = held
        self._contents: dict[int, tuple[bytes, str | None] | Dead] = {}

    def next(self, breakers: Mapping[str, BreakerRow]) -> Window:
        """Take the next window off the claims; it is empty where all of it has to wait.

        What is bound to a transport shares its window with nothing else: what it says of that transport, as a probe
        too, is then the window's.
        """
        # The first claim's order decides what is probed: where transports take turns, each comes first some time.
        [first] = self._held.ahead(1)
        pin = self._pin(first)
        way = route(self._order(first), breakers=breakers_of(breakers), probe=self._probe, pinned=pin)
        if isinstance(way, Wait):
            self._held.release(self._held.take_while(lambda claim: pin is None or self._pin(claim) == pin), way.pause)
            return Window()
        count = 1 if way.probing else self._means.pace.window
        going: list[Going] = []
        dead: list[Outcome] = []
        for claim in self._held.take_while(lambda claim: self._pin(claim) == pin, most=count):
            names = way.names if way.probing else tuple(name for name in self._order(claim) if name in way.names)
            content = self.content(claim)
            if isinstance(content, Dead):
                dead.append(Outcome(claim, content))
            else:
                going.append(
                    Going(Intent(claim, *content, names[0]), names, self._means.composer.outgoing(claim, content[0]))
                )
        return Window(tuple(going), way.probing, tuple(dead))

    def _pin(self, claim: Claim) -> str | None:
        """Return the transport that *claim* is bound to; one that no longer exists binds nobody."""
        return claim.pinned_transport if claim.pinned_transport in self._means.transports else None

    def _order(self, claim: Claim) -> tuple[str, ...]:
        """Return the names of the transports as *claim* prefers them, another way round at each attempt."""
        return self._means.orders[(claim.id + claim.attempt) % len(self._means.orders)]

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
