"""Contestants are processes of their own: started with these settings, they print their figures as a line of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.contest import Figures

REPOSITORY = Path(__file__).parents[1]


def figures_of(module: str, arguments: Sequence[object] = (), settings: Mapping[str, str] | None = None) -> Figures:
    """Return what `python -m MODULE ARGUMENTS` printed last; its log goes nowhere unless it fails.

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
    figures: Figures = json.loads(ended.stdout.splitlines()[-1])
    return figures


def inherited(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return our environment with *settings* over it."""
    return {**os.environ, **(settings or {})}  # noqa: TID251  a child process inherits ours
