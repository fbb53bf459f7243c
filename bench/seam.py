"""What the telemetry costs through which tests break a relay at named points: the seam that production carries too.

Of a drain's time, the part that goes into telling nobody (what a test would listen to), and into the log and the
metrics that every relay has. Both are told again what the same drain told, so that the noise of a server is in neither.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench import backlog, plots
from bench.bench import Bench
from bench.contest import contest, spread
from bench.programs import figures_of
from bench.table import Table
from console.migrate import upgrade
from devstack import Stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds

# Events a page, and pages: a relay with a backlog, and one that publishes each event as it comes.
CASES = ((1000, 200), (1, 1000))
ROUNDS = 3


def _measure() -> Rounds:
    with Stack.start(kafka=True, postgres=True, smtp=False) as servers:
        upgrade(servers.database_url)
        _drain(servers, 1000, 10)  # bootstraps, and makes the topic
        contestants = {f"{rows:,} a page": partial(_drain, servers, rows, rows * pages) for rows, pages in CASES}
        return contest(contestants, rounds=ROUNDS)


def _drain(servers: Stack, rows: int, events: int) -> Figures:
    backlog.insert(servers.database_url, events)
    settings = servers.environment() | {"OUTBOX_RELAY_PAGE_ROWS": str(rows)}
    figures = figures_of("bench.seam_process", settings=settings)
    pages, seconds = figures["pages"], figures["seconds"]
    return {
        "told_a_page": figures["told"] / pages,
        "page_ms": 1e3 * seconds / pages,
        "nobody_us_a_page": 1e6 * figures["nobody_seconds"] / pages,
        "nobody_ratio": figures["nobody_seconds"] / seconds,
        "production_us_a_page": 1e6 * figures["production_seconds"] / pages,
        "production_ratio": figures["production_seconds"] / seconds,
    }


def _tabulate(rounds: Rounds) -> Table:
    rows = [
        (
            case,
            f"{spread(rounds, case, 'told_a_page').median:.1f}",
            f"{spread(rounds, case, 'page_ms'):.2f}",
            f"{spread(rounds, case, 'nobody_us_a_page').median:.1f}",
            f"{spread(rounds, case, 'nobody_ratio').median:.3%}",
            f"{spread(rounds, case, 'production_us_a_page').median:.0f}",
            f"{spread(rounds, case, 'production_ratio').median:.3%}",
        )
        for case in rounds
    ]
    heads = (
        "events",
        "told a page",
        "ms a page",
        "µs to nobody",
        "of the time",
        "µs to log and metrics",
        "of the time",
    )
    return Table(heads, rows)


def _plot(axes: Axes, rounds: Rounds) -> None:
    series = {
        "to nobody": [spread(rounds, case, "nobody_ratio") for case in rounds],
        "to log and metrics": [spread(rounds, case, "production_ratio") for case in rounds],
    }
    plots.bars(axes, list(rounds), series)
    axes.set_ylabel("part of the drain's time")


BENCH = Bench(
    name="seam",
    question="what does the telemetry cost through which tests break a relay at named points?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
)
