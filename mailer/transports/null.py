"""Accepts every message and forgets it: for benches, and for environments that must not write to anybody."""

from mailer.reply import OutgoingMessage, Reply, accepted
from mailer.transports.dsn import Dsn


class NullTransport:
    """The transport of `null:`."""

    def __init__(self, dsn: Dsn) -> None:
        """Accept no option but `name`."""
        dsn.only()
        self.name = dsn.name

    @property
    def children(self) -> "tuple[NullTransport, ...]":
        """Return this one alone."""
        return (self,)

    def send(self, message: OutgoingMessage) -> Reply:
        """Return acceptance, always."""
        return accepted(self.name, text="discarded", recipient=message.recipient)

    def close(self) -> None:
        """Do nothing: nothing is open."""
