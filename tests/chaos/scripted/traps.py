"""Traps: what is done to a worker exactly when one of its connections is at a step, from within the server."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.scripted.fates import Step


@dataclass(slots=True, eq=False)
class Trap:
    """Springs at the first connection that comes to *step*: before its answer, or just *after* it.

    *spring* is given the client's port; the conversation goes on when it returns.
    """

    step: Step
    after: bool
    spring: Callable[[int], object]
    sprung: threading.Event = field(default_factory=threading.Event)


class Traps:
    """Those that are set."""

    def __init__(self) -> None:
        """Set none."""
        self._lock = threading.Lock()
        self._set: list[Trap] = []

    def lay(self, trap: Trap) -> None:
        """Set *trap*."""
        with self._lock:
            self._set.append(trap)

    def take_away(self, trap: Trap) -> None:
        """Take *trap* away, if it has not sprung."""
        with self._lock:
            self._set = [one for one in self._set if one is not trap]

    def passed(self, step: Step, port: int, *, after: bool) -> None:
        """Spring what is set at this place."""
        with self._lock:
            found = next((trap for trap in self._set if trap.step is step and trap.after is after), None)
            if found is None:
                return
            self._set.remove(found)
        found.spring(port)
        found.sprung.set()
