"""The wish to stop, from SIGTERM or SIGINT, as something that loops can wait on.

Not a `threading.Event`: its `set()` takes a lock that the interrupted main thread may hold, and a signal handler that
waits for the thread it interrupted waits for ever. A pipe has no lock, and its unread byte wakes every waiter.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Self


class StopSignal:
    """Set once, by a signal or by `set()`; every `wait` returns from then on."""

    def __init__(self) -> None:
        """Make one that is not set, and that no signal sets yet."""
        self._set = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def install(self) -> None:
        """Let SIGTERM and SIGINT set it; a second SIGINT interrupts at once, for the person who waits at a terminal."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    @classmethod
    @contextlib.contextmanager
    def installed(cls) -> Iterator[Self]:
        """Yield one that SIGTERM and SIGINT set, and let the signals mean afterwards what they meant before."""
        former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        made = cls()
        made.install()
        try:
            yield made
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            made.close()

    def set(self) -> None:
        """Wish to stop."""
        if not self._set:
            self._set = True
            os.write(self._writer, b".")

    def is_set(self) -> bool:
        """Return whether to stop."""
        return self._set

    def wait(self, seconds: float) -> bool:
        """Return whether to stop, after *seconds* at the latest."""
        if self._set or seconds <= 0:
            return self._set
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        ends = time.monotonic() + seconds
        # A whole millisecond at least: poll(0) would spin through the last fraction of one.
        while not self.is_set() and (left := ends - time.monotonic()) > 0:
            poll.poll(max(1, int(left * 1000)))
        return self._set

    def close(self) -> None:
        """Give the pipe back; for tests, a process has one all its life."""
        os.close(self._reader)
        os.close(self._writer)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._set and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.set()
