"""How a loop waits: for a call in another thread, or for time to pass, while it feels its lease and hears a stop."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from relay.errors import StoppedError

T = TypeVar("T")
_Call = tuple[Callable[[], Any], Future[Any]]

# Seconds. How often a wait looks at the lease, so that PostgreSQL does not take us for paused.
FEEL = 1.0
# Seconds that a stop waits for what is under way: SIGTERM is obeyed within 5.
GRACE = 2.5


class Stop(Protocol):
    """Whether we were asked to stop."""

    def is_set(self) -> bool:
        """Return whether we were."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait at most *seconds*, and return whether we were."""
        ...


class Background:
    """A daemon thread that runs one call at a time: one that never returns cannot keep the process from ending."""

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Return the future result of *call*, which runs after those before it."""
        future: Future[T] = Future()
        self._calls.put((call, future))
        return future

    def close(self, seconds: float) -> None:
        """End the thread once its calls are done; wait no longer than *seconds*."""
        self._calls.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (entry := self._calls.get()) is not None:
            call, future = entry
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001  # whoever waits for the future gets it
                future.set_exception(error)


class Patience:
    """Waits for one shard's loop; *feel* raises when the lease is lost."""

    def __init__(self, name: str, stop: Stop, clock: Callable[[], float], feel: Callable[[], None]) -> None:
        """Start the thread that calls run in."""
        self.background = Background(name)
        self._stop = stop
        self._clock = clock
        self._feel = feel

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Start *call* in the other thread."""
        return self.background.submit(call)

    def wait(self, future: Future[T], *, feeling: bool = True) -> T:
        """Return the result of *future*; give up some seconds after a stop. Not *feeling*: it uses the connection."""
        stopped_at: float | None = None
        while True:
            try:
                return future.result(timeout=FEEL)
            except FutureTimeoutError:
                if future.done():
                    raise
            if self._stop.is_set():
                stopped_at = stopped_at or self._clock()
                if self._clock() - stopped_at > GRACE:
                    raise StoppedError
            if feeling:
                self._feel()

    def call(self, call: Callable[[], T]) -> T:
        """Return the result of *call*, run in the other thread."""
        return self.wait(self.submit(call))

    def pause(self, seconds: float) -> None:
        """Let *seconds* pass, unless we are asked to stop."""
        until = self._clock() + seconds
        while not self._stop.is_set() and (left := until - self._clock()) > 0:
            self._stop.wait(min(left, FEEL))
            if left > FEEL:
                self._feel()
