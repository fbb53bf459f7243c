"""What an event costs a host: pgbench with one insert into the outbox, against the same row into a plain table.

Every transaction changes one account as well, as a host's would. No relay runs: it is another bench's question.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from bench import plots
from bench.bench import Bench
from bench.contest import contest, ratio, spread
from bench.pgbench import number, pgbench
from bench.table import Table
from console.migrate import upgrade
from devstack import Stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds

CLIENTS = (1, 8, 32)
WAYS = ("plain", "outbox", "emit", "trigger")
SECONDS = 4
ROUNDS = 5
_SCRIPTS = Path(__file__).parent / "hosts_sql"


def _measure() -> Rounds:
    with Stack.start(kafka=False, postgres=True, smtp=False) as servers:
        upgrade(servers.database_url)
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            connection.execute((_SCRIPTS / "tables.sql").read_bytes())
            connection.execute("vacuum analyze")
        contestants = {
            f"{way} {clients}": partial(_run, servers.database_url, way, clients) for clients in CLIENTS for way in WAYS
        }
        return contest(contestants, rounds=ROUNDS)


def _run(database_url: str, way: str, clients: int) -> Figures:
    """Return transactions a second, and bytes of WAL a transaction."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("checkpoint")
        before = connection.execute("select pg_current_wal_insert_lsn()").fetchone()
        printed = pgbench(database_url, _SCRIPTS / f"{way}.sql", clients=clients, seconds=SECONDS)
        (written,) = connection.execute("select pg_current_wal_insert_lsn() - %s::pg_lsn", before).fetchone() or (0,)
    return {"tps": number(printed, "tps = "), "wal_bytes": float(written) / number(printed, "actually processed: ")}


def _tabulate(rounds: Rounds) -> Table:
    rows = []
    for clients in CLIENTS:
        plain = f"plain {clients}"
        cells = [f"{spread(rounds, plain, 'tps').median:,.0f}"]
        cells += [f"{ratio(rounds, f'{way} {clients}', plain, 'tps'):.2f}" for way in WAYS[1:]]
        rows.append((str(clients), *cells))
    rows.append(("WAL bytes", *(f"{spread(rounds, f'{way} {CLIENTS[0]}', 'wal_bytes').median:,.0f}" for way in WAYS)))
    return Table(("clients", "plain table, tps", "insert, ratio", "outbox.emit, ratio", "trigger, ratio"), rows)


def _plot(axes: Axes, rounds: Rounds) -> None:
    groups = [f"{clients} clients" for clients in CLIENTS]
    plots.bars(axes, groups, {way: [spread(rounds, f"{way} {clients}", "tps") for clients in CLIENTS] for way in WAYS})
    axes.set_ylabel("transactions/s")


BENCH = Bench(
    name="hosts",
    question="what does an event cost the transaction of a host, against the same row in a plain table?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
)
