"""Plots of the results as SVG, in one form; the same result gives the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from bench.bench import Bench
    from bench.contest import Rounds, Spread

# One colour a contestant in every plot: ours, the limit, and the peers behind them. Readable without colour vision.
COLOURS = ("#0072b2", "#999999", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#000000")
_FORM: Any = {
    "svg.hashsalt": "bench",
    "svg.fonttype": "none",  # text stays text: small, and found by a search
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "axes.prop_cycle": cycler(color=COLOURS),
    "legend.frameon": False,
}


def draw(bench: Bench, rounds: Rounds, path: Path) -> None:
    """Write the plot of a bench's *rounds* to *path*."""
    with mpl.rc_context(_FORM):
        figure = Figure(figsize=(7.5, 4), layout="constrained")
        bench.plot(figure.add_subplot(), rounds)
        figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")


def bars(axes: Axes, groups: Sequence[str], series: Mapping[str, Sequence[Spread]]) -> None:
    """Draw a bar a series in each of *groups*, with its spread as a whisker."""
    width = 0.8 / len(series)
    for number, (name, spreads) in enumerate(series.items()):
        places = [group + (number - (len(series) - 1) / 2) * width for group in range(len(groups))]
        below = [spread.median - spread.low for spread in spreads]
        above = [spread.high - spread.median for spread in spreads]
        heights = [spread.median for spread in spreads]
        axes.bar(places, heights, width, label=name, yerr=(below, above), error_kw={"linewidth": 0.8, "capsize": 2})
    axes.set_xticks(range(len(groups)), groups)
    axes.grid(visible=False, axis="x")
    if len(series) > 1:
        axes.legend()
