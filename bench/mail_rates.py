"""Mails a second from the commit of their events to their acceptance, against what people use instead.

Ours is the whole way: relay, Kafka, consumer, sweeper and a Celery worker on pgmq, on a backlog that is committed at
once. The peers have all their mails before the first is sent. The rate is that of the sink, from the first mail that it
accepts to the last; `whole` counts from the commit. The limit is what a bare client gets from the same sink.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench import plots
from bench.bench import Bench
from bench.contest import contest, ratio, spread
from bench.mail import peers
from bench.mail.flow import CONSUMER, RELAY, SWEEPER, WORKER, flow
from bench.mail.sink import sink
from bench.mail.spent import Spent
from bench.programs import figures_of
from bench.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds
    from bench.mail.flow import Flow
    from bench.mail.sink import Accepted, Sink

ROUNDS = 3
OURS, USUAL, OTHER, LIMIT = "windowed intent", "Celery, one mail a task", "django-post-office", "bare client"
# What each contestant is asked to send: a second or two of its work.
MAILS = {LIMIT: 6000, OURS: 3000, USUAL: 600, OTHER: 1000}
VARIANTS = {
    OURS: {},
    "two workers": {},
    "window of 1": {"OUTBOX_MAILER_WINDOW": "1"},
    "10 a permit": {"OUTBOX_MAILER_CLAIM": "10"},
    "1 a permit": {"OUTBOX_MAILER_CLAIM": "1"},
}
_SENT = "select count(*) from outbox.delivery where state = 'sent'"


def _measure() -> Rounds:
    with sink() as taken, flow(taken.dsn) as run:
        ours = {
            name: partial(_ours, run, taken, settings, workers=1 + (name == "two workers"))
            for name, settings in VARIANTS.items()
        }
        others: dict[str, Callable[[], Figures]] = {
            USUAL: lambda: _figures(peers.usual(run, taken, MAILS[USUAL]), None),
            OTHER: lambda: _figures(peers.post_office(run, taken, MAILS[OTHER]), None),
            LIMIT: partial(_limit, taken),
        }
        return contest({**ours, **others}, rounds=ROUNDS)


def _ours(run: Flow, taken: Sink, settings: dict[str, str], *, workers: int) -> Figures:
    count = MAILS[OURS] if settings.get("OUTBOX_MAILER_CLAIM") != "1" else MAILS[OURS] // 3
    commands = [RELAY, CONSUMER, SWEEPER, *((*WORKER, str(number)) for number in range(workers))]
    with run.running(*commands, **settings) as processes:
        before = run.number(_SENT)
        run.emit(20, prefix="warm-")
        run.wait(_SENT, before + 20)
        taken.begin()
        with Spent(
            run.servers, {" ".join(command[1:]): pid for command, pid in processes.items()} | {"sink": taken.pid}
        ) as spent:
            committed = run.emit(count)
            found = taken.wait(count)
            run.wait(_SENT, before + 20 + count)
    return _figures(found, committed) | {f"{part}_us": 1e6 * s / count for part, s in spent.seconds.items()}


def _figures(found: Accepted, committed: float | None) -> dict[str, float]:
    figures = {"rate": (found.accepted - 1) / (found.last - found.first)}
    return figures if committed is None else figures | {"whole": found.accepted / (found.last - committed)}


def _limit(taken: Sink) -> Figures:
    taken.begin()
    figures_of("bench.mail.client_process", (taken.port, 8, MAILS[LIMIT]))
    return _figures(taken.report(), None)


def _tabulate(rounds: Rounds) -> Table:
    rows = []
    for name, found in rounds.items():
        whole = f"{spread(rounds, name, 'whole'):,.0f}" if "whole" in found[0] else ""
        parts = [part for part in found[0] if part.endswith("_us")]
        cpu = sum(spread(rounds, name, part).median for part in parts)
        rows.append(
            (
                name,
                f"{spread(rounds, name, 'rate'):,.0f}",
                whole,
                f"{ratio(rounds, name, USUAL, 'rate'):.1f}",
                f"{cpu:,.0f}" if parts else "",
                ", ".join(f"{part[:-3]} {spread(rounds, name, part).median:,.0f}" for part in parts),
            )
        )
    heads = ("contestant", "mails/s", "from the commit", "times the usual way", "CPU, µs a mail", "of which")
    return Table(heads, rows)


def _plot(axes: Axes, rounds: Rounds) -> None:
    names = [name for name in rounds if name != LIMIT]
    plots.bars(axes, [name.replace(" ", "\n", 1) for name in names], {"": [spread(rounds, n, "rate") for n in names]})
    axes.set_ylabel("mails/s accepted")
    axes.tick_params(axis="x", labelsize="small")


BENCH = Bench(
    name="mail_rates",
    question="how many mails a second are accepted, against the usual ways to send mail?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
)
