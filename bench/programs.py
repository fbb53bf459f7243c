"""Contestants are processes of their own: started with these settings, they print their figures as a line of JSON."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.contest import Figures

REPOSITORY = Path(__file__).parents[1]


def figures_of(module: str, arguments: Sequence[object] = (), settings: Mapping[str, str] | None = None) -> Figures:
    """Return what `python -m MODULE ARGUMENTS` printed last; raise as `ended_well`."""
    figures: Figures = json.loads(ended_well(module, arguments, settings).splitlines()[-1])
    return figures


def ended_well(module: str, arguments: Sequence[object] = (), settings: Mapping[str, str] | None = None) -> str:
    """Return what `python -m MODULE ARGUMENTS` printed; its log goes nowhere unless it fails.

    Raises RuntimeError with the end of its stderr when it ended with another exit code than 0.
    """
    ended = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        env=inherited(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(f"expected {module} to end with 0, got {ended.returncode}:\n{ended.stderr[-4000:]}")
    return ended.stdout


def inherited(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return our environment with *settings* over it."""
    return {**os.environ, **(settings or {})}  # noqa: TID251  a child process inherits ours


@contextlib.contextmanager
def relay_running(settings: Mapping[str, str]) -> Iterator[int]:
    """Run `outbox relay run` with these settings; the value is its process id."""
    command = [sys.executable, "-m", "console", "relay", "run"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=inherited(settings), stdout=log, stderr=log)
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)
