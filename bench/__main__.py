"""Run a bench by name: `python -m bench latency`; without one, all that are not long."""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, cast

from bench import kept, page, plots
from bench.kept import FOLDER, Result
from bench.machine import machine

if TYPE_CHECKING:
    from bench.bench import Bench

# In the order in which they run; each is a module `bench.NAME` with a BENCH.
NAMES = (
    *("relay", "peers", "peer_latency", "peer_faults", "latency", "hosts", "flat", "retention", "seam", "flat_long"),
    *("memory",),
    *("mail_rates", "mail_slow", "mail_lanes", "mail_parts", "consumer", "mail_idle"),
)


def main() -> int:
    """Run what is named, or all; return 1 when `--check` finds the documentation older than the results, else 0."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(NAMES)}")
    parser.add_argument("--page", action="store_true", help="write docs/performance.md and plots from kept results")
    parser.add_argument("--check", action="store_true", help="say whether docs/performance.md is made from them")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"expected a name out of {', '.join(NAMES)}, got {', '.join(sorted(unknown))}")
    if arguments.check:
        return page.check(benches())
    if not arguments.page:
        for bench in benches():
            if bench.name in arguments.names or not (arguments.names or bench.long):
                _run(bench)
    page.write(benches())
    return 0


def benches() -> list[Bench]:
    """Return every bench."""
    return [cast("Bench", import_module(f"bench.{name}").BENCH) for name in NAMES]


def _run(bench: Bench) -> None:
    """Measure, keep, draw and print."""
    began, before = time.monotonic(), machine()
    print(f"{bench.name}: {bench.question}", flush=True)
    result = Result(before, bench.measure())
    path = kept.save(bench.name, result)
    plots.draw(bench, result.rounds, FOLDER / f"{bench.name}.svg")
    print(f"{bench.tabulate(result.rounds)}\n{path}, {time.monotonic() - began:.0f} s\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
