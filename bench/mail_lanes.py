"""A password reset behind a campaign: from its commit to its acceptance, while 100,000 other mails wait to be sent.

The campaign's deliveries are in the table, and its permits in the broker, before the first reset is committed. Each
reset goes the whole way: relay, Kafka, consumer, permit, worker. `idle` is the same without a campaign.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from bench import plots
from bench.bench import Bench
from bench.contest import contest, spread
from bench.mail.flow import CONSUMER, RELAY, RESET, SWEEPER, WORKER, flow
from bench.mail.sink import sink
from bench.mail.sink_process import MARKED
from bench.quantiles import milliseconds
from bench.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds
    from bench.mail.flow import Flow
    from bench.mail.sink import Sink

CAMPAIGN = 100_000
RESETS = 40
EVERY_SECONDS = 0.4
FIGURES = ("p50", "p99", "max")
# As the consumer would: planning so many takes longer than what is measured.
INSERT = """
insert into outbox.delivery (event_id, event_type, aggregate_type, aggregate_id, mail, recipient, recipient_key, locale,
                             lane, priority, in_doubt_policy, suppressible, payload, expires_at)
select gen_random_uuid(), 'user.role_upgraded', 'user', n::text, 'role_upgrade', 'user-' || n || '@example.com',
       sha256(n::text::bytea), 'en', 'default', 100, 'hold', false,
       json_build_object('email', 'user-' || n || '@example.com', 'name', 'Ada Lovelace', 'locale', 'en',
                         'new_role', 'ADMIN', 'old_role', 'MEMBER'), now() + interval '1 day'
from generate_series(1, %s) as n
"""


def _measure() -> Rounds:
    with sink() as taken, flow(taken.dsn) as run, run.running(RELAY, CONSUMER, SWEEPER, WORKER):
        run.emit(5, type_=RESET, prefix="warm-")
        taken.wait(5)
        return contest({"idle": partial(_resets, run, taken), "behind 100,000": partial(_behind, run, taken)}, rounds=1)


def _behind(run: Flow, taken: Sink) -> Figures:
    with psycopg.connect(run.servers.database_url, autocommit=True) as connection:
        connection.execute(INSERT, (CAMPAIGN,))
        connection.execute("analyze outbox.delivery")
    taken.begin()
    taken.wait(500)  # it is under way
    figures = _resets(run, taken)
    waiting = run.number("select count(*) from outbox.delivery where state = 'queued'")
    if not waiting:
        raise RuntimeError("expected the campaign to outlast the resets, got none of it left")
    return {**figures, "waiting": waiting}


def _resets(run: Flow, taken: Sink) -> Figures:
    taken.begin()
    pause, committed = threading.Event(), {}
    for number in range(RESETS):
        prefix = f"{MARKED.decode()}{number}-"
        committed[f"{prefix}1@example.com"] = run.emit(1, type_=RESET, prefix=prefix)
        pause.wait(EVERY_SECONDS)
    deadline = time.monotonic() + 60
    while len(found := taken.report().marked) < RESETS:
        if time.monotonic() > deadline:
            raise RuntimeError(f"expected {RESETS} resets to be accepted, got {len(found)}")
        pause.wait(0.1)
    waits = [found[recipient] - at for recipient, at in committed.items()]
    return milliseconds(waits)


def _tabulate(rounds: Rounds) -> Table:
    rows = [(name, *(f"{spread(rounds, name, figure).median:,.0f}" for figure in FIGURES)) for name in rounds]
    return Table((f"{RESETS} resets, ms from commit to acceptance", *FIGURES), rows)


def _plot(axes: Axes, rounds: Rounds) -> None:
    plots.bars(axes, FIGURES, {name: [spread(rounds, name, figure) for figure in FIGURES] for name in rounds})
    axes.set_ylabel("ms from commit to acceptance")


BENCH = Bench(
    name="mail_lanes",
    question="how long does a password reset take behind a campaign of 100,000 mails?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
)
