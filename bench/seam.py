"""What the telemetry costs through which tests break a relay at named points: the seam that production carries too.

Of a drain's time, the part that goes into telling nobody (what a test would listen to), and into the log and the
metrics that every relay has. Both are told again what the same drain told, so that the noise of a server is in neither.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg

from console.migrate import upgrade
from devstack import Stack

# Events a page, and pages: a relay with a backlog, and one that publishes each event as it comes.
CASES = ((1000, 200), (1, 1000))
RESULTS = Path(__file__).parent / "results"
_INSERT = """
insert into outbox.event (aggregate_type, aggregate_id, type, payload)
select 'bench', (n %% 1000)::text, 'bench.happened', json_build_object('n', n, 'filler', repeat('x', 280))
from generate_series(1, %s) as n
"""


def run() -> None:
    """Measure, print a table and write bench/results/seam.json."""
    found = {}
    with Stack.start(kafka=True, postgres=True, smtp=False) as servers:
        upgrade(servers.database_url)
        _drain(servers, 1000, 10)  # bootstraps, and makes the topic
        for rows, pages in CASES:
            found[f"{rows} a page"] = _summary(_drain(servers, rows, rows * pages))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "seam.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name, figures in found.items():
        print(
            f"{name:12} {figures['told_a_page']:5.1f} told a page of {figures['page_ms']:7.3f} ms:"
            f" {figures['nobody_us_a_page']:6.2f} us to nobody, ratio {figures['nobody_ratio']:.5f};"
            f" {figures['production_us_a_page']:6.1f} us to log and metrics, ratio {figures['production_ratio']:.5f}",
            flush=True,
        )


def _drain(servers: Stack, rows: int, events: int) -> dict[str, float]:
    with psycopg.connect(servers.database_url) as connection:
        connection.execute(_INSERT, (events,))
    settings = servers.environment() | {"OUTBOX_RELAY_PAGE_ROWS": str(rows)}
    ended = subprocess.run(
        [sys.executable, "-m", "bench.seam_process"],
        env={**os.environ, **settings},  # noqa: TID251  a child process inherits ours
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # its log
        check=True,
    )
    figures: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return figures


def _summary(figures: dict[str, float]) -> dict[str, float]:
    pages, seconds = figures["pages"], figures["seconds"]
    return {
        "pages": pages,
        "told_a_page": round(figures["told"] / pages, 1),
        "page_ms": round(1e3 * seconds / pages, 3),
        "nobody_us_a_page": round(1e6 * figures["nobody_seconds"] / pages, 2),
        "nobody_ratio": round(figures["nobody_seconds"] / seconds, 6),
        "production_us_a_page": round(1e6 * figures["production_seconds"] / pages, 1),
        "production_ratio": round(figures["production_seconds"] / seconds, 6),
    }
