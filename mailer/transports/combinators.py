"""Several transports as one: in order of preference (`failover`), or taking turns (`roundrobin`).

The delivery machine walks their children by itself, with the breakers in hand, in one of their `orders`. `send` is the
walk without breakers, for a test message and for scripts: it goes on only while nothing can have been accepted, which
is before MAIL, or when a server says 421 (closing).
"""

from collections.abc import Callable
from itertools import chain
from math import lcm
from typing import TYPE_CHECKING, ClassVar

from mailer.reply import OutgoingMessage, Phase, Reply

if TYPE_CHECKING:
    from mailer.transports import Transport

_BEFORE_MAIL = frozenset((Phase.CONNECT, Phase.TLS, Phase.EHLO, Phase.AUTH))
_SERVICE_CLOSING = 421


class _Combined:
    """What both have: children, flat, and the orders in which they may be tried."""

    kind: ClassVar[str]

    def __init__(self, orders: "tuple[tuple[Transport, ...], ...]") -> None:
        self.orders = orders

    @property
    def name(self) -> str:
        """Return the names of the children, in order."""
        return f"{self.kind}({' '.join(child.name for child in self.children)})"

    @property
    def children(self) -> "tuple[Transport, ...]":
        """Return the plain transports, in the first of the orders."""
        return self.orders[0]

    def send(self, message: OutgoingMessage) -> Reply:
        """Return the first child's reply that is about the message, or the last one's."""
        first, *others = self.children
        reply = first.send(message)
        for child in others:
            if not _elsewhere(reply):
                break
            reply = child.send(message)
        return reply

    def close(self) -> None:
        """Close every child."""
        for child in self.children:
            child.close()


class FailoverTransport(_Combined):
    """The transport of `failover(a b)`: the first that works."""

    kind = "failover"

    def __init__(self, children: "tuple[Transport, ...]") -> None:
        """Prefer the first of *children*; one that is itself a combinator keeps its orders in its place."""
        super().__init__(_orders(children, lambda parts, _: parts, turns=1))


class RoundRobinTransport(_Combined):
    """The transport of `roundrobin(a b)`: one mail by each in turn; where one does not work, the next."""

    kind = "roundrobin"

    def __init__(self, children: "tuple[Transport, ...]") -> None:
        """Let *children* take turns."""
        super().__init__(_orders(children, lambda parts, turn: (*parts[turn:], *parts[:turn]), turns=len(children)))


def orders_of(transport: "Transport") -> "tuple[tuple[Transport, ...], ...]":
    """Return the orders in which the children of *transport* are tried, one after the other."""
    orders: tuple[tuple[Transport, ...], ...] = getattr(transport, "orders", (transport.children,))
    return orders


_Parts = tuple[tuple["Transport", ...], ...]


def _orders(
    children: "tuple[Transport, ...]", turned: Callable[[_Parts, int], _Parts], *, turns: int
) -> tuple[tuple["Transport", ...], ...]:
    """Return the orders of all *children* together, each of which may have orders of its own."""
    own = [orders_of(child) for child in children]
    return tuple(
        tuple(chain.from_iterable(turned(tuple(orders[inner % len(orders)] for orders in own), turn)))
        for inner in range(lcm(*map(len, own)))
        for turn in range(turns)
    )


def _elsewhere(reply: Reply) -> bool:
    """Return whether another server may be asked: this one has definitely not taken the message."""
    return reply.phase in _BEFORE_MAIL or (reply.answered and reply.code == _SERVICE_CLOSING)
