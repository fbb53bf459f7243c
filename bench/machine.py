"""What a figure was measured on: without it no figure can be compared with another."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from bench.programs import REPOSITORY


def machine() -> dict[str, str]:
    """Return the processor, cores, memory, kernel, Python, commit and time of this run, without the host's name."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": _commit(),
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),  # noqa: TID251  the time of a person
        "load_before": f"{os.getloadavg()[0]:.1f}",
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    """Return the short hash, with a plus where relay, mailer, outbox, runtime or migrations differ from it."""
    asked = ["git", "-C", str(REPOSITORY), "describe", "--always", "--exclude", "*"]
    described = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    measured = ["relay", "mailer", "outbox", "runtime", "migrations"]
    differs = subprocess.run(["git", "-C", str(REPOSITORY), "diff", "--quiet", "HEAD", "--", *measured], check=False)
    return described + ("+" if differs.returncode else "")
