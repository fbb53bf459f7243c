"""The mail server's own account of what it did: the only witness of what was accepted.

A transaction begins with RCPT and ends with the answer to its last command, or with the connection. What the client
ought to have noticed is in *phases* and *code*.
"""

import json
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.chaos.scripted.fates import Step


@dataclass(frozen=True, slots=True)
class Transaction:
    """One message for one recipient, as far as it came.

    *transport* is what the client calls this server. *kept*: the message was taken. *met* names the trouble
    that it ran into, if any. No *phases*: the client went away by itself.
    """

    transport: str
    connection: int
    recipient: str
    phases: frozenset[str]
    code: int | None
    kept: bool
    met: str | None
    began_at: float
    ended_at: float
    message_id: str | None = None
    digest: str | None = None

    def line(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps(asdict(self) | {"phases": sorted(self.phases)})


@dataclass(frozen=True, slots=True)
class Turned:
    """A client that was turned away before it named a recipient."""

    transport: str
    phases: frozenset[str]
    code: int | None


class Register:
    """Kept by every thread of the server; also a file, if there is a folder for it."""

    def __init__(self, folder: Path | None = None) -> None:
        """Begin with nothing."""
        self._file = folder / "served.jsonl" if folder else None
        self._lock = threading.Lock()
        self._met: Counter[str] = Counter()
        self.transactions: list[Transaction] = []
        self.turned: list[Turned] = []
        self.reached: Counter[str] = Counter()

    def nth(self, recipient: str) -> int:
        """Return how many messages were begun for *recipient* before this one."""
        with self._lock:
            self._met[recipient] += 1
            return self._met[recipient] - 1

    def reach(self, step: Step) -> None:
        """Count a step."""
        with self._lock:
            self.reached[step] += 1

    def end(self, transaction: Transaction) -> None:
        """Write *transaction* down."""
        with self._lock:
            self.transactions.append(transaction)
            if self._file is not None:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(transaction.line() + "\n")

    def turn(self, turned: Turned) -> None:
        """Write down that a client was turned away."""
        with self._lock:
            self.turned.append(turned)

    def kept(self) -> int:
        """Return how many messages were taken."""
        with self._lock:
            return sum(one.kept for one in self.transactions)
