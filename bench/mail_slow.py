"""Mails a second where the server takes 20 ms a reply, against what that many connections allow.

A mail takes four replies one after the other (MAIL, RCPT, DATA and the dot), for the sink offers no pipelining: a
connection allows 12.5 mails a second.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench import plots
from bench.bench import Bench
from bench.contest import contest, spread
from bench.mail.flow import CONSUMER, RELAY, SWEEPER, WORKER, flow
from bench.mail.sink import sink
from bench.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds
    from bench.mail.flow import Flow
    from bench.mail.sink import Sink

ROUNDS = 3
REPLY_SECONDS = 0.02
REPLIES_A_MAIL = 4
CONNECTIONS = (8, 40)
SECONDS = 5
_SENT = "select count(*) from outbox.delivery where state = 'sent'"


def _measure() -> Rounds:
    with sink(delay=REPLY_SECONDS) as taken, flow(taken.dsn) as run:
        contestants = {
            f"{connections} connections": partial(_run, run, taken, connections) for connections in CONNECTIONS
        }
        return contest(contestants, rounds=ROUNDS)


def _run(run: Flow, taken: Sink, connections: int) -> Figures:
    allowed = connections / (REPLIES_A_MAIL * REPLY_SECONDS)
    count = round(allowed * SECONDS)
    settings = {
        "OUTBOX_MAILER_WINDOW": str(connections),
        # A claim of full windows: the last one would be short otherwise.
        "OUTBOX_MAILER_CLAIM": str(6 * connections),
        "OUTBOX_MAIL_DSN": f"{taken.dsn}?max_connections={connections}",
    }
    with run.running(RELAY, CONSUMER, SWEEPER, WORKER, **settings):
        before = run.number(_SENT)
        taken.begin()
        run.emit(count)
        found = taken.wait(count)
        run.wait(_SENT, before + count)
    rate = (count - 1) / (found.last - found.first)
    return {"rate": rate, "allowed": allowed, "ratio": rate / allowed}


def _tabulate(rounds: Rounds) -> Table:
    rows = [
        (
            name,
            f"{spread(rounds, name, 'allowed').median:,.0f}",
            f"{spread(rounds, name, 'rate'):,.0f}",
            f"{spread(rounds, name, 'ratio'):.2f}",
        )
        for name in rounds
    ]
    return Table(("20 ms a reply", "allowed, mails/s", "mails/s", "ratio"), rows)


def _plot(axes: Axes, rounds: Rounds) -> None:
    plots.bars(
        axes,
        list(rounds),
        {
            "ours": [spread(rounds, n, "rate") for n in rounds],
            "allowed": [spread(rounds, n, "allowed") for n in rounds],
        },
    )
    axes.set_ylabel("mails/s accepted")


BENCH = Bench(
    name="mail_slow",
    question="how many mails a second does a server take that needs 20 ms a reply, against what it allows?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
)
