"""The two threads of a shard's loop as two fibers: each runs up to its next call of a system, and waits to be chosen.

The relay's code is the product's own; only its `Patience` is another, which hands a call to the second fiber instead of
to a thread. So an exploration decides in which order the two go on, and what each call meets.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

from tests.model.kafka_model import Kafka
from tests.model.postgres_model import Postgres

T = TypeVar("T")


class Place(Protocol):
    """What a relay's systems know of it."""

    number: int
    pg: Postgres
    kafka: Kafka

    def ask(self, label: str) -> str:
        """Wait to be chosen."""
        ...

    def reading(self) -> str:
        """Return the label of a call that reads: what for depends on the state."""
        ...


class Stepper:
    """Runs *main*, and beside it one call at a time that it submits."""

    def __init__(self, *, merged: frozenset[str] = frozenset()) -> None:
        """Prepare; calls with a label of *merged* that follow each other are one step."""
        self._merged = merged
        self._asked: dict[greenlet, str] = {}
        self._last: dict[greenlet, str] = {}
        self._queue: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._awaited: Future[Any] | None = None
        self._main: greenlet | None = None
        self._second = greenlet(self._serve)
        self.killed = False

    # -------------------------------------------------------------------------------- for whoever explores

    def start(self, main: Callable[[], None]) -> None:
        """Run *main* up to its first call."""
        self._main = greenlet(main)
        self._main.switch()
        self._go_on()

    @property
    def asked(self) -> list[str]:
        """Return the labels of the calls that wait to be chosen, the first fiber's first."""
        return [self._asked[fiber] for fiber in (self._main, self._second) if fiber in self._asked]

    def resume(self, label: str, choice: str) -> None:
        """Have the call *label* go on, with *choice* as what it meets."""
        fiber = next(fiber for fiber, asked in self._asked.items() if asked == label)
        del self._asked[fiber]
        self._last[fiber] = choice
        fiber.switch(choice)
        self._go_on()

    def kill(self) -> None:
        """End both fibers where they are; what they do on their way out reaches nobody."""
        self.killed = True
        self._asked.clear()
        for fiber in (self._main, self._second):
            if fiber is not None:
                fiber.throw(GreenletExit)

    def _go_on(self) -> None:
        while True:
            if self._queue and self._second not in self._asked:
                self._second.switch()
            elif self._awaited is not None and self._awaited.done() and self._main is not None:
                self._awaited = None
                self._main.switch()
            else:
                return

    def _serve(self, *_: object) -> None:
        while True:
            while not self._queue:
                self._park()
            call, future = self._queue.popleft()
            try:
                result = call()
            except GreenletExit:
                raise
            except BaseException as error:  # noqa: BLE001  # whoever waits for the future gets it
                future.set_exception(error)
            else:
                future.set_result(result)

    # ----------------------------------------------------------------------------------- for what is run

    def ask(self, label: str) -> str:
        """Return what the call *label* meets, once it was chosen."""
        if self.killed:
            raise GreenletExit
        fiber = getcurrent()
        if label in self._merged and self._last.get(fiber) == label:
            return label
        self._asked[fiber] = label
        return str(self._park())

    def _park(self) -> Any:
        parent = getcurrent().parent
        assert parent is not None
        return parent.switch()

    # The interface of relay.patience.Patience, and of its `background`.

    @property
    def background(self) -> "Stepper":
        """Return what ends the thread."""
        return self

    def close(self, seconds: float) -> None:
        """Have no thread to end."""

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """Have the second fiber make *call*, after those before it."""
        future: Future[T] = Future()
        self._queue.append((call, future))
        return future

    def wait(self, future: "Future[T]", *, feeling: bool = True) -> T:
        """Return the result of *future*; the lease is not felt meanwhile, which would only end a term sooner."""
        del feeling
        while not future.done():
            if self.killed:
                raise GreenletExit
            self._awaited = future
            self._park()
        return future.result()

    def call(self, call: Callable[[], T]) -> T:
        """Return the result of *call*, made by the second fiber."""
        return self.wait(self.submit(call))

    def pause(self, seconds: float) -> None:
        """Let no time pass: whatever can happen meanwhile may happen before the next call."""
