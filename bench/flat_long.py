"""The same question where only a long run answers it: ten million events wait, a hundred million are kept."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import psycopg

from bench.bench import Bench
from bench.contest import contest
from bench.drains import cost_of_drains, without_autovacuum
from bench.flat import SMALL, plot, tabulate
from bench.programs import ended_well
from console.migrate import upgrade
from devstack import Stack

if TYPE_CHECKING:
    from bench.contest import Rounds

KEPT = 100_000_000
WAITING = 10_000_000
EVENTS = 1_000_000
_AT_ONCE = 1_000_000
_KEEP = """
insert into outbox.event (aggregate_type, aggregate_id, type, payload)
select 'bench', (n %% 1000)::text, 'bench.happened', '{"kept": true}' from generate_series(1, %s) as n
"""


def _measure() -> Rounds:
    with Stack.start(kafka=True, postgres=True, smtp=False) as servers:
        upgrade(servers.database_url)
        without_autovacuum(servers.database_url)
        cost_of_drains(servers, 10_000)  # bootstraps, and makes the topic
        small = {SMALL: partial(cost_of_drains, servers, 10_000, times=20)}
        alone = contest(small | {"1,000,000 wait": partial(cost_of_drains, servers, EVENTS)}, rounds=1)
        waiting = contest({"10,000,000 wait": partial(cost_of_drains, servers, WAITING)}, rounds=1)
        _keep(servers)
        kept = contest({"1,000,000 wait, 100,000,000 kept": partial(cost_of_drains, servers, EVENTS)}, rounds=1)
        return alone | waiting | kept


def _keep(servers: Stack) -> None:
    """Fill the table with events that are behind the position: a relay is told to begin with what comes from now on."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        for _ in range(KEPT // _AT_ONCE):
            connection.execute(_KEEP, (_AT_ONCE,))
        connection.execute("vacuum analyze outbox.event")
    said = ("relay", "resync", "0", "--from", "now", "--reason", "a bench fills the table", "--yes")
    ended_well("console", said, servers.environment())


BENCH = Bench(
    name="flat_long",
    question="does an event cost the same when ten million wait, and when a hundred million are kept?",
    measure=_measure,
    tabulate=tabulate,
    plot=plot,
    long=True,
)
