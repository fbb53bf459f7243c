"""Latencies as people ask for them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contest import Figures

_CUTS = {"p50": 500, "p99": 990, "p99.9": 999}
NAMES = (*_CUTS, "max")


def milliseconds(seconds: Sequence[float]) -> Figures:
    """Return the quantiles of *seconds* by NAMES, in ms; at least two are needed."""
    cuts = statistics.quantiles(seconds, n=1000, method="inclusive")
    found = {name: cuts[place - 1] for name, place in _CUTS.items()} | {"max": max(seconds)}
    return {name: 1e3 * value for name, value in found.items()}
