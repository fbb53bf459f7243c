"""Several transports in order of preference. The delivery machine walks them by itself, with the breakers in hand.

`send` is the walk without breakers, for a test message and for scripts: it goes on only while nothing can have been
accepted, which is before MAIL, or when a server says 421 (closing).
"""

from typing import TYPE_CHECKING

from mailer.reply import OutgoingMessage, Phase, Reply

if TYPE_CHECKING:
    from mailer.transports import Transport

_BEFORE_MAIL = frozenset((Phase.CONNECT, Phase.TLS, Phase.EHLO, Phase.AUTH))
_SERVICE_CLOSING = 421


class FailoverTransport:
    """The transport of `failover(a b)`."""

    def __init__(self, children: "tuple[Transport, ...]") -> None:
        """Prefer the first of *children*; one that is itself a combinator is taken apart."""
        self._children = tuple(plain for child in children for plain in child.children)

    @property
    def name(self) -> str:
        """Return the names of the children, in order."""
        return f"failover({' '.join(child.name for child in self._children)})"

    @property
    def children(self) -> "tuple[Transport, ...]":
        """Return the plain transports, in order of preference."""
        return self._children

    def send(self, message: OutgoingMessage) -> Reply:
        """Return the first child's reply that is about the message, or the last one's."""
        first, *others = self._children
        reply = first.send(message)
        for child in others:
            if not _elsewhere(reply):
                break
            reply = child.send(message)
        return reply

    def close(self) -> None:
        """Close every child."""
        for child in self._children:
            child.close()


def _elsewhere(reply: Reply) -> bool:
    """Return whether another server may be asked: this one has definitely not taken the message."""
    return reply.phase in _BEFORE_MAIL or (reply.answered and reply.code == _SERVICE_CLOSING)
