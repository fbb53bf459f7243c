"""Events a second out of a backlog, against the limit: a bare loop of the same transactions with nothing behind it.

The limit is what Python, librdkafka and the broker can do with events that are in memory already: begin, produce with
the same eight headers, a progress record, commit. Both run in processes of their own, in turns, at each page size.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.limit_process import PROGRESS
from console.migrate import upgrade
from devstack import Stack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EVENTS = 300_000
PAGES = (100, 1000, 5000, 20_000)
ROUNDS = 3
# At small pages a round of all events would take minutes.
LARGEST_ROUND_PAGES = 300
RESULTS = Path(__file__).parent / "results"
_INSERT = """
insert into outbox.event (aggregate_type, aggregate_id, type, payload)
select 'bench', (n %% 1000)::text, 'bench.happened', json_build_object('n', n, 'filler', repeat('x', 280))
from generate_series(1, %s) as n
"""


def run() -> None:
    """Measure, print a table and write bench/results/relay.json."""
    found: dict[str, list[dict[str, float]]] = {}
    with Stack.start(kafka=True, postgres=True, smtp=False) as servers:
        upgrade(servers.database_url)
        admin = AdminClient({"bootstrap.servers": servers.kafka_bootstrap})
        admin.create_topics([NewTopic(PROGRESS, 1, 1)])[PROGRESS].result(30)
        _insert(servers.database_url, 10)
        _relay(servers, 1000)  # bootstraps, and makes the topic
        for rows in PAGES:
            for _ in range(ROUNDS):
                events = min(EVENTS, rows * LARGEST_ROUND_PAGES)
                found.setdefault(f"limit {rows}", []).append(_limit(servers, rows, events))
                _insert(servers.database_url, events)
                found.setdefault(f"relay {rows}", []).append(_relay(servers, rows))
    summary = {name: _summary(rounds) for name, rounds in found.items()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "relay.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    for rows in PAGES:
        limit, relay = summary[f"limit {rows}"], summary[f"relay {rows}"]
        print(
            f"{rows:6} a page: limit {limit['rate']:8.0f}/s, relay {relay['rate']:8.0f}/s,"
            f" ratio {relay['rate'] / limit['rate']:.2f}, CPU of the process {limit['cpu_us']:.1f} and"
            f" {relay['cpu_us']:.1f} us an event, relay's memory {relay['peak_rss_mib']:.0f} MiB",
            flush=True,
        )


def _insert(dsn: str, count: int) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(_INSERT, (count,))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("vacuum analyze outbox.event")


def _summary(rounds: list[dict[str, float]]) -> dict[str, float]:
    rates = [found["published"] / found["seconds"] for found in rounds]
    return {
        "rate": round(statistics.median(rates)),
        "rate_min": round(min(rates)),
        "rate_max": round(max(rates)),
        "cpu_us": round(statistics.median(1e6 * found["cpu_seconds"] / found["published"] for found in rounds), 2),
        "peak_rss_mib": round(max(found["peak_rss_kib"] for found in rounds) / 1024, 1),
    }


def _relay(servers: Stack, rows: int) -> dict[str, float]:
    return _child("bench.relay_process", (), servers.environment() | {"OUTBOX_RELAY_PAGE_ROWS": str(rows)})


def _limit(servers: Stack, rows: int, events: int) -> dict[str, float]:
    return _child("bench.limit_process", (servers.kafka_bootstrap, str(rows), str(events)), {})


def _child(module: str, arguments: Sequence[str], settings: Mapping[str, str]) -> dict[str, float]:
    environment = {**os.environ, **settings}  # noqa: TID251  a child process inherits ours
    command = [sys.executable, "-m", module, *arguments]
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return figures
