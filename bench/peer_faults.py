"""Ends of a contestant in the middle of a backlog: what is lost, what is doubled, and when the next event comes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench import plots
from bench.bench import Bench
from bench.contest import contest, spread
from bench.peers import contestants, servers
from bench.peers.faults import SIGNALS, Faults
from bench.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds
    from bench.peers.contestants import Contestant

ROUNDS = 3
WAYS = {"INSERT": False, "COPY": True}
NAMES = ("relay", "debezium", "usual 1000", "faststream")
# Events of a backlog, ends of the process in each, seconds to wait for late ones: faststream-outbox delivers what
# a dead process had taken when its lease, here of 10 s, is over.
SIZES = {
    "relay": (40_000, 1, 1.0),
    "debezium": (40_000, 1, 1.0),
    "usual 1000": (40_000, 1, 1.0),
    "faststream": (3_000, 1, 12.0),
}


def _measure() -> Rounds:
    with servers.started() as stack, servers.worker(stack) as worker:
        faults = Faults(stack)
        debezium = contestants.Debezium(worker, stack.database_url, tuned=True)
        debezium.rest()
        tried: dict[str, Contestant] = {
            "relay": contestants.relay(stack),
            "debezium": debezium,
            "usual 1000": contestants.usual(stack, rows=1000),
            "faststream": contestants.faststream(stack),
        }
        runs: dict[str, Callable[[], Figures]] = {}
        for name, contestant in tried.items():
            runs[f"{name} next"] = partial(faults.recovery, contestant)
            for how, way in _episodes(name):
                events, ends, quiet = SIZES[name]
                runs[f"{name} {way} {how}"] = partial(
                    faults.losses,
                    contestant,
                    how=how,
                    copied=WAYS[way],
                    events=events,
                    ends=ends,
                    quiet_seconds=quiet,
                )
        return contest(runs, rounds=ROUNDS)


def _episodes(name: str) -> list[tuple[str, str]]:
    """Return how it is ended and how rows came in; faststream-outbox is killed only: rows are all alike to it."""
    if name == "faststream":
        return [("kill", "INSERT")]
    return [(how, way) for way in WAYS for how in SIGNALS]


def _tabulate(rounds: Rounds) -> Table:
    heads = ("", "kill to the next event, s", "rows by", "ended by", "events", "ends", "lost", "doubled")
    rows = []
    for name in NAMES:
        recovery = f"{spread(rounds, f'{name} next', 'seconds'):.2f}"
        for how, way in _episodes(name):
            found = rounds[f"{name} {way} {how}"]
            sums = (sum(figures[figure] for figures in found) for figure in ("events", "ends", "lost", "doubled"))
            rows.append((name, recovery, way, how, *(f"{value:,.0f}" for value in sums)))
    return Table(heads, rows)


def _plot(axes: Axes, rounds: Rounds) -> None:
    plots.bars(axes, NAMES, {"s": [spread(rounds, f"{name} next", "seconds") for name in NAMES]})
    axes.set_ylabel("s from a kill to the next event")


BENCH = Bench(
    name="peer_faults",
    question="what is lost or doubled when a relay ends in the middle of its work, and when does the next event come?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
    long=True,  # 7 minutes: a worker of Kafka Connect takes 8 s to come back, 15 times
)
