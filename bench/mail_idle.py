"""What consumer, sweeper and worker cost while nothing happens: CPU, memory, transactions a second, and WAL.

Each runs alone on its own stack for a while; `nothing` is the same while without any of them.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

import psutil

from bench import plots
from bench.bench import Bench
from bench.contest import contest, spread
from bench.mail.flow import CONSUMER, SWEEPER, WORKER, flow
from bench.mail.spent import Spent
from bench.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds
    from bench.mail.flow import Flow

SECONDS = 8.0
ROUNDS = 1
PROCESSES: dict[str, tuple[tuple[str, ...], ...]] = {
    "nothing": (),
    "consumer": (CONSUMER,),
    "sweeper": (SWEEPER,),
    "worker": (WORKER,),
}
_TRANSACTIONS = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
_WAL = "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"


def _measure() -> Rounds:
    with flow("null:") as run:
        contestants = {name: partial(_rest, run, commands) for name, commands in PROCESSES.items()}
        return contest(contestants, rounds=ROUNDS)


def _rest(run: Flow, commands: tuple[tuple[str, ...], ...]) -> Figures:
    pause = threading.Event()
    with run.running(*commands) as processes:
        pause.wait(3)  # what is done once, after the start
        asked, written = run.number(_TRANSACTIONS), run.number(_WAL)
        with Spent(run.servers, {command[1]: pid for command, pid in processes.items()}) as spent:
            pause.wait(SECONDS)
        transactions, wal = run.number(_TRANSACTIONS) - asked, run.number(_WAL) - written
        memory = sum(_memory(pid) for pid in processes.values())
    own = sum(used for part, used in spent.seconds.items() if part not in ("postgres", "broker"))
    return {
        "cpu": own / SECONDS,
        "postgres": spent.seconds["postgres"] / SECONDS,
        "transactions": transactions / SECONDS,
        "wal": wal / SECONDS,
        "mib": memory / 2**20,
    }


def _memory(pid: int) -> float:
    """Return the memory that is a process's and its children's own: what a fork shares counts once."""
    process = psutil.Process(pid)
    return float(sum(one.memory_full_info().pss for one in (process, *process.children(recursive=True))))


def _tabulate(rounds: Rounds) -> Table:
    rows = [
        (
            name,
            f"{spread(rounds, name, 'cpu').median:.2%}",
            f"{spread(rounds, name, 'postgres').median:.2%}",
            f"{spread(rounds, name, 'transactions').median:.1f}",
            f"{spread(rounds, name, 'wal').median:,.0f}",
            f"{spread(rounds, name, 'mib').median:.0f}",
        )
        for name in rounds
    ]
    return Table(("at rest", "CPU of a core", "of PostgreSQL's", "transactions/s", "WAL, bytes/s", "MiB"), rows)


def _plot(axes: Axes, rounds: Rounds) -> None:
    series = {part: [spread(rounds, name, part) for name in rounds] for part in ("cpu", "postgres")}
    plots.bars(axes, list(rounds), series)
    axes.set_ylabel("part of a core")


BENCH = Bench(
    name="mail_idle",
    question="what do consumer, sweeper and worker cost while nothing happens?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
)
