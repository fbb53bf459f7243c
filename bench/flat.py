"""Whether an event costs the same whatever else there is: a backlog, an open transaction, two hundred hosts.

The cost is processor time: of the relay, and of the sessions that it had in PostgreSQL, which the postmaster has waited
for when they end. A rate would say how much the others take of two cores.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import psycopg

from bench import plots
from bench.bench import Bench
from bench.contest import contest, ratio, spread
from bench.drains import cost_of_drains, without_autovacuum
from bench.pgbench import pgbench_running
from bench.table import Table
from console.migrate import upgrade
from devstack import Stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds

SMALL = "10,000 wait"
EVENTS = 200_000
HOSTS = 200
INSERTS_A_SECOND = 500
ROUNDS = 3
_FIGURES = ("relay_us", "postgres_us", "us", "rate")


def _measure() -> Rounds:
    with Stack.start(kafka=True, postgres=True, smtp=False) as servers:
        upgrade(servers.database_url)
        without_autovacuum(servers.database_url)
        cost_of_drains(servers, 10_000)  # bootstraps, and makes the topic
        contestants = {
            SMALL: partial(cost_of_drains, servers, 10_000, times=5),
            "100,000 wait": partial(cost_of_drains, servers, 100_000),
            "1,000,000 wait": partial(cost_of_drains, servers, 1_000_000),
            "200,000, a transaction open since before": partial(_beside_an_open_transaction, servers),
            "200,000, 200 hosts inserting": partial(_beside_hosts, servers),
        }
        return contest(contestants, rounds=ROUNDS)


def _beside_an_open_transaction(servers: Stack) -> Figures:
    with psycopg.connect(servers.database_url) as old:
        old.execute("select pg_current_xact_id()")
        return cost_of_drains(servers, EVENTS)


def _beside_hosts(servers: Stack) -> Figures:
    script = (
        "insert into outbox.event (aggregate_type, aggregate_id, type, payload) values ('bench', '1', 'bench', '{}')"
    )
    with pgbench_running(servers.database_url, script, clients=HOSTS, rate=INSERTS_A_SECOND):
        return cost_of_drains(servers, EVENTS)


def tabulate(rounds: Rounds, *, small: str = SMALL) -> Table:
    """Return the cost of each case, and its ratio to the small one."""
    rows = []
    for case in rounds:
        cells = [f"{spread(rounds, case, figure).median:.1f}" for figure in _FIGURES[:3]]
        rows.append((case, *cells, f"{ratio(rounds, case, small, 'us'):.2f}", f"{spread(rounds, case, 'rate'):,.0f}"))
    return Table(("events", "relay, µs/event", "PostgreSQL, µs/event", "both", "ratio", "events/s"), rows)


def plot(axes: Axes, rounds: Rounds) -> None:
    """Draw the cost of each case by process."""
    series = {
        "relay": [spread(rounds, case, "relay_us") for case in rounds],
        "PostgreSQL": [spread(rounds, case, "postgres_us") for case in rounds],
    }
    plots.bars(axes, [case.replace(", ", ",\n") for case in rounds], series)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_ylabel("µs of the processor an event")


BENCH = Bench(
    name="flat",
    question="does an event cost the same with a large backlog, beside an open transaction, and beside 200 hosts?",
    measure=_measure,
    tabulate=tabulate,
    plot=plot,
)
