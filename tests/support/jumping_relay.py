"""`python -m tests.support.jumping_relay run`: a relay whose clocks jump when it gets SIGUSR1.

OUTBOX_TEST_JUMPS="wall=3600 monotonic=0" says by how many seconds. The clocks are put in the place of Python's before
anything of the relay is imported; the waits of the operating system keep to its own.
"""

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

ahead = {"wall": 0.0, "monotonic": 0.0}


def jumps(text: str) -> dict[str, float]:
    """Return by how many seconds each clock jumps."""
    return {name: float(seconds) for name, seconds in (one.split("=") for one in text.split())}


def _ahead(clock: Callable[[], float], name: str) -> Callable[[], float]:
    return lambda: clock() + ahead[name]


def install(steps: dict[str, float]) -> None:
    """Have the clocks of this process jump by *steps* at each SIGUSR1."""
    time.time = _ahead(time.time, "wall")
    # Taken by the standard library when it was imported, which it is before us.
    time.monotonic = threading._time = queue.time = _ahead(time.monotonic, "monotonic")  # type: ignore[attr-defined]

    def jump(_number: int, _frame: FrameType | None) -> None:
        for name, seconds in steps.items():
            ahead[name] += seconds

    signal.signal(signal.SIGUSR1, jump)


if __name__ == "__main__":
    install(jumps(os.environ["OUTBOX_TEST_JUMPS"]))
    from runtime.exits import leave
    from tests.support.crashing_relay import main

    sys.argv[0] = "relay"
    leave(main())
