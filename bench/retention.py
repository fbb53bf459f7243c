"""How large the outbox stays over a week in which as much is deleted as comes in; a day lasts twenty seconds.

The real relay publishes and deletes, and the real autovacuum cleans up after it. Beside it, what keeps as many events:
partitions by time, of which a whole one is detached and dropped.
"""

from __future__ import annotations

import contextlib
import time
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from bench.bench import Bench
from bench.programs import relay_running
from bench.table import Table
from console.migrate import upgrade
from devstack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds

DAY_SECONDS = 20.0
EVENTS_A_DAY = 240_000
KEPT_DAYS = 2
DAYS = 9
_HOURS = 24
_FIRST_DAY = date(2026, 1, 1)
_INSERT = """
insert into {table} (aggregate_type, aggregate_id, type, payload)
select 'bench', (n %% 1000)::text, 'bench.happened', json_build_object('n', n, 'filler', repeat('x', 280))
from generate_series(1, %s) as n
"""
# An autovacuum looks once a minute; a minute of these days is 14 ms. A second is more patient than it would be.
_SPEED = ("autovacuum_naptime = '1s'", "autovacuum_vacuum_cost_delay = 0", "max_wal_size = '4GB'")
_SIZES = """
select
  coalesce(sum(pg_table_size(relid)), pg_table_size(%(table)s::regclass))::float8,
  coalesce(sum(pg_indexes_size(relid)), pg_indexes_size(%(table)s::regclass))::float8
from pg_partition_tree(%(table)s) where isleaf
"""


def _measure() -> Rounds:
    return {"deleted": _week(_deleted), "partitions dropped": _week(_partitioned)}


def _week(way: Callable[[Stack], contextlib.AbstractContextManager[Callable[[int], str]]]) -> list[Figures]:
    """Return the sizes at the end of each day."""
    with Stack.start(kafka=True, postgres=True, smtp=False) as servers:
        upgrade(servers.database_url)
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            for setting in _SPEED:
                connection.execute(f"alter system set {setting}".encode())
            connection.execute("select pg_reload_conf()")
            with way(servers) as table_of:
                return [_day(connection, table_of(day), day) for day in range(DAYS)]


def _day(connection: psycopg.Connection, table: str, day: int) -> Figures:
    """Insert what a day brings, an hour at a time, and return what is there then."""
    began = time.monotonic()
    for hour in range(1, _HOURS + 1):
        connection.execute(_INSERT.format(table=table).encode(), (EVENTS_A_DAY // _HOURS,))
        connection.execute("select pg_sleep(%s)", (max(0.0, began + hour * DAY_SECONDS / _HOURS - time.monotonic()),))
    table_bytes, index_bytes = connection.execute(_SIZES, {"table": table}).fetchone() or (0.0, 0.0)
    (kept,) = connection.execute(f"select count(*) from {table}".encode()).fetchone() or (0,)  # noqa: S608  ours
    figures = {
        "day": day + 1.0,
        "kept": float(kept),
        "table_mib": table_bytes / 2**20,
        "index_mib": index_bytes / 2**20,
    }
    print("  " + "  ".join(f"{name} {value:,.0f}" for name, value in figures.items()), flush=True)
    return figures | {"bytes_an_event": (table_bytes + index_bytes) / kept}


@contextlib.contextmanager
def _deleted(servers: Stack) -> Iterator[Callable[[int], str]]:
    kept = {
        "OUTBOX_RELAY_RETENTION_DAYS": str(KEPT_DAYS * DAY_SECONDS / 86_400),
        "OUTBOX_RELAY_RETENTION_INTERVAL_SECONDS": str(DAY_SECONDS / _HOURS),
    }
    with relay_running(servers.environment() | kept):
        yield lambda _day: "outbox.event"


@contextlib.contextmanager
def _partitioned(servers: Stack) -> Iterator[Callable[[int], str]]:
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute((Path(__file__).parent / "retention_sql" / "partitioned.sql").read_bytes())
        yield partial(_next_partition, connection)


def _next_partition(connection: psycopg.Connection, day: int) -> str:
    """Begin a partition for a day, and drop the one that is old enough as a whole."""
    since, until = (_FIRST_DAY + timedelta(days=number) for number in (day, day + 1))
    for statement in (
        f"create table bench.event_{day} partition of bench.event for values from ('{since}') to ('{until}')",
        f"alter table bench.event alter column created_at set default '{since}'",
    ):
        connection.execute(statement.encode())
    if day > KEPT_DAYS:
        old = f"bench.event_{day - KEPT_DAYS - 1}"
        connection.execute(f"alter table bench.event detach partition {old} concurrently".encode())
        connection.execute(f"drop table {old}".encode())
    return "bench.event"


def _tabulate(rounds: Rounds) -> Table:
    heads = (
        "day",
        *(f"{way}: {what}" for way in rounds for what in ("kept", "table, MiB", "indexes, MiB", "bytes/event")),
    )
    names = ("kept", "table_mib", "index_mib", "bytes_an_event")
    rows = [
        (str(day + 1), *(f"{days[day][name]:,.0f}" for days in rounds.values() for name in names))
        for day in range(DAYS)
    ]
    return Table(heads, rows)


def _plot(axes: Axes, rounds: Rounds) -> None:
    for way, days in rounds.items():
        axes.plot([day["day"] for day in days], [day["table_mib"] + day["index_mib"] for day in days], "o-", label=way)
    axes.set_xlabel("day")
    axes.set_ylabel("MiB, table and indexes")
    axes.set_ylim(bottom=0)
    axes.legend()


BENCH = Bench(
    name="retention",
    question="does the event table stay as large as what is kept, while as much is deleted as comes in?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
    long=True,
)
