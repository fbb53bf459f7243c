"""Contestants in turns: A B A B …, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

# What one round of one contestant came to: figures by name.
Figures: TypeAlias = Mapping[str, float]
# Every round of every contestant, in the order in which they were run.
Rounds: TypeAlias = Mapping[str, Sequence[Figures]]


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of several rounds, and the two that lie farthest from it."""

    median: float
    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Spread:
        """Return the spread of *values*; at least one is needed."""
        return cls(statistics.median(values), min(values), max(values))

    def __format__(self, spec: str) -> str:
        """Return `median (low to high)`, each in the form that *spec* says."""
        return f"{self.median:{spec}} ({self.low:{spec}} to {self.high:{spec}})"


def contest(contestants: Mapping[str, Callable[[], Figures]], *, rounds: int) -> dict[str, list[Figures]]:
    """Return the figures of *rounds* rounds, in each of which every contestant runs once, in the order given."""
    found: dict[str, list[Figures]] = {name: [] for name in contestants}
    for turn in range(1, rounds + 1):
        for name, run in contestants.items():
            gc.collect()
            figures = run()
            found[name].append(figures)
            shown = "  ".join(f"{key} {value:,.5g}" for key, value in figures.items())
            print(f"  {turn}/{rounds} {name}: {shown}", flush=True)
    return found


def spread(rounds: Rounds, name: str, figure: str) -> Spread:
    """Return the spread of one contestant's *figure*."""
    return Spread.over([figures[figure] for figures in rounds[name]])


def ratio(rounds: Rounds, name: str, to: str, figure: str) -> Spread:
    """Return the spread of a *figure* of *name* as a ratio to that of *to* in the same round."""
    pairs = zip(rounds[name], rounds[to], strict=True)
    return Spread.over([one[figure] / other[figure] for one, other in pairs])
