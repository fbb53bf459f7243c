"""What a process has cost the processor so far, as the kernel counts it."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def seconds_of(pid: int) -> float:
    """Return the seconds of a running process, its threads included, its children not."""
    return sum(_fields(pid)[11:13]) / _TICKS


def seconds_of_ended_children(pid: int) -> float:
    """Return the seconds of all children that *pid* has waited for, and of theirs."""
    return sum(_fields(pid)[13:15]) / _TICKS


def parent_of(pid: int) -> int:
    """Return the process that started *pid*."""
    return _fields(pid)[1]


def _fields(pid: int) -> list[int]:
    """Return the numbers of `/proc/PID/stat` behind the state: proc(5) counts them from the third field on."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return [0, *map(int, text.rpartition(")")[2].split()[1:])]
