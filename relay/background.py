"""One thread that runs one call at a time, so that the loop can wait for it and still feel its lease."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Call = tuple[Callable[[], Any], Future[Any]]


class Background:
    """A daemon thread: a call that never returns cannot keep the process from ending."""

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
