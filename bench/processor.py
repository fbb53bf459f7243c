"""What a process has cost so far, as the kernel counts it: time of the processor, and memory."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, its children, and those of them that have ended; 0 when it has ended itself.

    Read by hand: psutil looks through every process for the children of one, and this is asked forty times a second.
    """
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        spent = sum(_times(pid))
        return spent + sum(cpu_seconds(int(child)) for child in children.read_text(encoding="ascii").split())
    except FileNotFoundError:  # it ended meanwhile: its parent counts it now
        return 0.0


def seconds_of_ended_children(pid: int) -> float:
    """Return the CPU time of all children that *pid* has waited for, and of theirs."""
    return sum(_times(pid)[2:])


def _times(pid: int) -> list[float]:
    """Return user and system time of a process, and of its ended children; the name before may hold spaces."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return [int(field) / _TICKS_A_SECOND for field in fields[11:15]]


def peak_rss_kib(pid: int | str = "self") -> int:
    """Return the most memory that a process has had since it began to be its program, or since `reset_peak`.

    What getrusage says is at least what the process had that started it: a bench with a plotting library in it.
    """
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise LookupError(f"expected /proc/{pid}/status to have VmHWM")


def reset_peak(pid: int) -> None:
    """Let the peak of resident memory begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
