"""`make chaos`: every fault at random while hosts of every kind write; then everything is read back and counted.

`--recovery` measures how soon the next event is visible after a kill, `--mail` soaks the whole pipeline to the inbox.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.evidence import Evidence
from tests.chaos.figures import Figures
from tests.chaos.mail import soak
from tests.chaos.plan import INTERVALS, FaultKind, Plan
from tests.chaos.recovery import measure
from tests.chaos.scripted import storm as scripted
from tests.chaos.storm import run
from tests.chaos.world import World


def option(kind: FaultKind) -> str:
    """Return the option that sets the interval of *kind*."""
    return "--" + kind.name.lower().replace("_", "-")


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="make chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=180, help="length of the storm")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the same seed plans the same faults")
    parser.add_argument("--record", type=Path, help="append the figures to this file, a line of JSON a run")
    parser.add_argument("--keep", action="store_true", help="keep the evidence of a run that is well, too")
    parser.add_argument("--plan", action="store_true", help="print the plan, and run nothing")
    parser.add_argument("--recovery", action="store_true", help="one fault at a time, and how soon events flow again")
    parser.add_argument("--kills", type=int, default=20, help="with --recovery: faults of each kind")
    for kind in FaultKind:
        help_ = f"seconds between two, on average: {kind} (default {INTERVALS[kind]:g}; 0: none)"
        parser.add_argument(option(kind), type=float, default=INTERVALS[kind], dest=kind.name, help=help_)
    parser.add_argument("--mail", action="store_true", help="soak the pipeline to the inbox (--mail --help says more)")
    parser.add_argument("--scripted", action="store_true", help="with --mail: the mail server misbehaves, too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Return 0 when every promise held, 1 when one did not."""
    if "--mail" in arguments and "--scripted" in arguments:
        return scripted.main([one for one in arguments if one not in ("--mail", "--scripted")], os.environ)
    if "--mail" in arguments:
        return soak.main([argument for argument in arguments if argument != "--mail"], os.environ)
    options = parsed(arguments)
    if options.recovery:
        return measure(kills=options.kills, seed=options.seed, record=options.record)
    intervals = {kind: getattr(options, kind.name) for kind in FaultKind}
    plan = Plan.of(options.seed, seconds=options.seconds, intervals=intervals)
    if options.plan:
        print(json.dumps(plan.as_json(), indent=1))
        return 0
    evidence = Evidence(plan)
    print(f"seed {plan.seed}: {plan.seconds:.0f} s, {len(plan.faults)} faults planned, {plan.shape}", flush=True)
    print(f"evidence: {evidence.folder}", flush=True)
    with World.started() as world:
        figures = run(plan, world, evidence)
    if options.record:
        figures.record(options.record)
    return concluded(figures, evidence, keep=options.keep)


def concluded(figures: Figures, evidence: Evidence, *, keep: bool) -> int:
    """Print the figures and the verdict, and return the exit code."""
    for part in ("totals", "faults", "transactions", "events", "progress", "found"):
        print(f"{part}: {json.dumps(getattr(figures, part))}")
    if figures.wrong:
        print(f"error: seed {figures.seed}: {len(figures.wrong)} things are wrong:", file=sys.stderr)
        for line in figures.wrong[:20]:
            print(f"  {line[:500]}", file=sys.stderr)
        print(f"  fix: look into {evidence.folder}; SEED={figures.seed} plans the same faults again", file=sys.stderr)
        return 1
    print(f"seed {figures.seed}: every event once, in order, and nothing made up")
    if not keep:
        evidence.discard()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
