"""A relay that drains what waits, and what that cost it and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import psycopg

from bench import backlog, processor
from bench.programs import figures_of

if TYPE_CHECKING:
    from bench.contest import Figures
    from devstack import Stack


def cost_of_drains(servers: Stack, events: int, *, times: int = 1) -> Figures:
    """Return microseconds of the processor an event by process, and events a second, over *times* drains of *events*.

    What PostgreSQL spent is known of sessions that have ended: others must last from before until after it, and nothing
    be vacuumed. What a drain of nothing costs is left out, for taking over is not what grows with events.
    """
    nothing = _drain(servers)["postgres_seconds"]
    drains = []
    for _ in range(times):
        backlog.insert(servers.database_url, events)
        drains.append(_drain(servers))
    published = sum(drain["published"] for drain in drains)
    relay_us = 1e6 * sum(drain["cpu_seconds"] for drain in drains) / published
    postgres_us = 1e6 * sum(drain["postgres_seconds"] - nothing for drain in drains) / published
    return {
        "relay_us": relay_us,
        "postgres_us": postgres_us,
        "us": relay_us + postgres_us,
        "rate": published / sum(drain["seconds"] for drain in drains),
    }


def without_autovacuum(database_url: str) -> None:
    """Keep workers from vacuuming meanwhile: PostgreSQL would count them with the sessions that have ended."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("alter system set autovacuum = off")
        connection.execute("select pg_reload_conf()")


def _drain(servers: Stack) -> Figures:
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        postmaster = psutil.Process(connection.info.backend_pid).ppid()
        before = processor.seconds_of_ended_children(postmaster)
        printed = figures_of("bench.relay_process", settings=servers.environment())
        return {**printed, "postgres_seconds": processor.seconds_of_ended_children(postmaster) - before}
