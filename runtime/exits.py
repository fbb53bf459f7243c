"""Exit codes, relied on by cron, systemd and Kubernetes: changing one is a major version. And how a process leaves.

A process that holds what must not be torn down (a Kafka producer that waits for an answer) leaves at once: neither
Python nor the C library clears up, and whatever it held dies with it.
"""

import os
import sys
import threading
from enum import IntEnum
from typing import NoReturn


class ExitCode(IntEnum):
    """What a command's exit says to the program that started it."""

    DONE = 0
    FAILED = 1  # for the reason printed
    USAGE = 2  # wrong usage or setting: starting again changes nothing
    GUARANTEE = 3  # stopped to keep the guarantee: history, position, foreign record
    UNJUDGED = 4  # `verify` alone: nothing wrong was found, and a part could not be judged


_uncleared = threading.Event()


def skip_cleanup() -> None:
    """Have `leave` end this process without clearing up."""
    _uncleared.set()


def leave(code: int) -> NoReturn:
    """End the process with *code*, once what was written is out."""
    if not _uncleared.is_set():
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
