"""Events a second out of a backlog, against the limit: a bare loop of the same transactions with nothing behind it.

The limit is what Python, librdkafka and the broker can do with events that are in memory already: begin, produce with
the same eight headers, a progress record, commit. Both run in processes of their own, in turns, at each page size.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench import backlog, plots
from bench.bench import Bench
from bench.contest import contest, ratio, spread
from bench.limit_process import PROGRESS
from bench.programs import figures_of
from bench.table import Table
from console.migrate import upgrade
from devstack import Stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds

EVENTS = 300_000
PAGES = (100, 1000, 5000, 20_000)
ROUNDS = 3
# At small pages a round of all events would take minutes.
LARGEST_ROUND_PAGES = 300


def _measure() -> Rounds:
    found: dict[str, list[Figures]] = {}
    with Stack.start(kafka=True, postgres=True, smtp=False) as servers:
        upgrade(servers.database_url)
        AdminClient({"bootstrap.servers": servers.kafka_bootstrap}).create_topics([NewTopic(PROGRESS, 1, 1)])[
            PROGRESS
        ].result(30)
        _relay(servers, 1000, 10)  # bootstraps, and makes the topic
        for rows in PAGES:
            events = min(EVENTS, rows * LARGEST_ROUND_PAGES)
            contestants = {
                f"limit {rows}": partial(_limit, servers, rows, events),
                f"relay {rows}": partial(_relay, servers, rows, events),
            }
            found |= contest(contestants, rounds=ROUNDS)
    return found


def _relay(servers: Stack, rows: int, events: int) -> Figures:
    backlog.insert(servers.database_url, events)
    settings = servers.environment() | {"OUTBOX_RELAY_PAGE_ROWS": str(rows)}
    return _figures(figures_of("bench.relay_process", settings=settings))


def _limit(servers: Stack, rows: int, events: int) -> Figures:
    return _figures(figures_of("bench.limit_process", (servers.kafka_bootstrap, rows, events)))


def _figures(printed: Figures) -> Figures:
    return {
        "rate": printed["published"] / printed["seconds"],
        "cpu_us": 1e6 * printed["cpu_seconds"] / printed["published"],
        "peak_rss_mib": printed["peak_rss_kib"] / 1024,
    }


def _tabulate(rounds: Rounds) -> Table:
    rows = []
    for size in PAGES:
        limit, relay = f"limit {size}", f"relay {size}"
        rows.append(
            (
                f"{size:,}",
                f"{spread(rounds, limit, 'rate'):,.0f}",
                f"{spread(rounds, relay, 'rate'):,.0f}",
                f"{ratio(rounds, relay, limit, 'rate'):.2f}",
                f"{spread(rounds, limit, 'cpu_us').median:.1f}",
                f"{spread(rounds, relay, 'cpu_us').median:.1f}",
                f"{spread(rounds, relay, 'peak_rss_mib').median:.0f}",
            )
        )
    heads = (
        "events a page",
        "limit, events/s",
        "relay, events/s",
        "ratio",
        "CPU of the limit, µs/event",
        "of the relay",
        "MiB",
    )
    return Table(heads, rows)


def _plot(axes: Axes, rounds: Rounds) -> None:
    groups = [f"{size:,}" for size in PAGES]
    series = {who: [spread(rounds, f"{who} {size}", "rate") for size in PAGES] for who in ("relay", "limit")}
    plots.bars(axes, groups, series)
    axes.set_xlabel("events a page (one transaction)")
    axes.set_ylabel("events/s")


BENCH = Bench(
    name="relay",
    question="how fast does the relay drain a backlog, against a bare loop of the same transactions?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
)
