"""How much memory a page takes: bounded by its rows and its bytes, with events of 1 MB too.

The same relay drains small events and large ones, with page limits in bytes from 1 to 32 MiB. *Random* payloads are
stored as they are; *repeated* ones PostgreSQL stores compressed, and the limit counts what is stored.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import psycopg

from bench import plots
from bench.bench import Bench
from bench.contest import contest, spread
from bench.programs import figures_of
from bench.table import Table
from console.migrate import upgrade
from devstack import Stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds

ROUNDS = 3
PAGE_ROWS = 2000
_LARGE = 900_000  # with headers still below Kafka's own limit of 1 MiB
_MIB = 2**20
# Name, events, bytes of each payload, whether PostgreSQL can compress it, limit of a page in MiB.
CASES = (
    ("no events", 0, 0, False, 8),
    ("300 B", 40_000, 300, False, 8),
    ("900 kB", 100, _LARGE, False, 1),
    ("900 kB", 100, _LARGE, False, 8),
    ("900 kB", 100, _LARGE, False, 32),
    ("900 kB, repeated", 100, _LARGE, True, 8),
)
_INSERT = """
insert into outbox.event (aggregate_type, aggregate_id, type, payload)
select 'bench', n::text, 'bench.happened', to_json(case when %(same)s then repeat('x', %(bytes)s) else
  (select left(string_agg(md5(random()::text || n || part), ''), %(bytes)s)
   from generate_series(0, %(bytes)s / 32) as part) end)
from generate_series(1, %(events)s) as n
"""


def _measure() -> Rounds:
    with Stack.start(kafka=True, postgres=True, smtp=False) as servers:
        upgrade(servers.database_url)
        _drain(servers, 10, 300, same=False, mib=8)  # bootstraps, and makes the topic
        contestants = {
            _named(case): partial(_drain, servers, case[1], case[2], same=case[3], mib=case[4]) for case in CASES
        }
        return contest(contestants, rounds=ROUNDS)


def _named(case: tuple[str, int, int, bool, int]) -> str:
    return f"{case[0]}, {case[4]} MiB a page"


def _drain(servers: Stack, events: int, size: int, *, same: bool, mib: int) -> Figures:
    with psycopg.connect(servers.database_url) as connection:
        connection.execute(_INSERT, {"events": events, "bytes": size, "same": same})
    limits = {"OUTBOX_RELAY_PAGE_ROWS": str(PAGE_ROWS), "OUTBOX_RELAY_PAGE_BYTES": str(mib * _MIB)}
    printed = figures_of("bench.relay_process", settings=servers.environment() | limits)
    return {"peak_rss_mib": printed["peak_rss_kib"] / 1024, "pages": printed["pages"], "events": printed["published"]}


def _tabulate(rounds: Rounds) -> Table:
    base = spread(rounds, _named(CASES[0]), "peak_rss_mib").median
    rows = []
    for case in CASES:
        name, limit = _named(case), case[4]
        peak = spread(rounds, name, "peak_rss_mib")
        above = peak.median - base
        rows.append((case[0], str(limit), f"{spread(rounds, name, 'pages').median:.0f}", f"{peak:.0f}", f"{above:.0f}"))
    return Table(("payload", "limit of a page, MiB", "pages", "peak, MiB", "above an idle relay"), rows)


def _plot(axes: Axes, rounds: Rounds) -> None:
    names = [_named(case) for case in CASES]
    plots.bars(axes, names, {"relay": [spread(rounds, name, "peak_rss_mib") for name in names]})
    axes.tick_params(axis="x", rotation=20)
    axes.set_ylabel("peak resident memory, MiB")


BENCH = Bench(
    name="memory",
    question="how much memory does a relay take, with events of 1 MB too?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
)
