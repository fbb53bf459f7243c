"""What a bench is: a question, how it is measured, and how its answer is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from bench.contest import Rounds
    from bench.table import Table


@dataclass(frozen=True, slots=True)
class Bench:
    """A bench by name; `measure` starts its own servers, and `tabulate` and `plot` see nothing but the kept rounds.

    A *long* one is run by name only: all others together end within half an hour.
    """

    name: str
    question: str
    measure: Callable[[], Rounds]
    tabulate: Callable[[Rounds], Table]
    plot: Callable[[Axes, Rounds], None]
    long: bool = False
