"""Prints messages as a reader would see them, for development. It shows addresses: that is what it is for."""

import sys
import threading
from email import message_from_bytes, policy

from mailer.reply import OutgoingMessage, Phase, Reply, accepted, unanswered
from mailer.transports.dsn import Dsn

_RULE = "─" * 72


class ConsoleTransport:
    """The transport of `console:`; prints to standard output."""

    def __init__(self, dsn: Dsn) -> None:
        """Accept no option but `name`."""
        dsn.only()
        self.name = dsn.name
        self._lock = threading.Lock()  # one message at a time: two threads' lines would mix

    @property
    def children(self) -> "tuple[ConsoleTransport, ...]":
        """Return this one alone."""
        return (self,)

    def send(self, message: OutgoingMessage) -> Reply:
        """Print *message* and return acceptance; a closed output is an outage."""
        text = _readable(message)
        try:
            with self._lock:
                sys.stdout.write(text)
                sys.stdout.flush()
        except (OSError, ValueError) as error:
            return unanswered(
                self.name, Phase.CONNECT, text=f"{type(error).__name__} on standard output", recipient=message.recipient
            )
        return accepted(self.name, text="printed", recipient=message.recipient)

    def close(self) -> None:
        """Do nothing: standard output is not ours to close."""


def _readable(message: OutgoingMessage) -> str:
    parsed = message_from_bytes(message.content, policy=policy.default)
    headers = "\n".join(f"{name}: {parsed[name]}" for name in ("From", "To", "Subject", "Date") if name in parsed)
    body = parsed.get_body(("plain", "html"))
    text = "" if body is None else str(body.get_content())
    envelope = f"envelope {message.sender} -> {message.recipient} {message.message_id}"
    return f"{_RULE}\n{envelope}\n{headers}\n\n{text.rstrip()}\n{_RULE}\n"
