"""The only loop of the tests that waits: until a condition holds, or a time is over."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Seconds between two looks: short beside what is waited for (a commit, a record, a mail), long beside one look.
PAUSE_SECONDS = 0.02


def wait_until(condition: Callable[[], T | None], *, timeout_seconds: float, what: str) -> T:
    """Return what *condition* returns once that is true; raise an error that names *what* when it does not come.

    A condition that raises AssertionError does not hold yet; what it last said ends up in the error.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        last: object
        try:
            last = found = condition()
        except AssertionError as not_yet:
            last, found = not_yet, None
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"expected {what} within {timeout_seconds:g} s; last looked at: {last!r}")
        time.sleep(PAUSE_SECONDS)
