"""Break a rule at a time, and say which test notices. Ends with 1 when one survives, or does not apply any more."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from devstack import Stack
from tests.mutations import results
from tests.mutations.copying import copy_of, environment_of, prove_imported
from tests.mutations.mutation import Mutation, load
from tests.mutations.running import Failed, Outcome, Red, Runner, Survived

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Return 0 when every mutation was noticed."""
    parser = argparse.ArgumentParser(prog="make mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of mutations; all, if none is given")
    parser.add_argument(
        "--listed", action="store_true", help="try a mutation on the tests that it names, and no others"
    )
    arguments = parser.parse_args()
    try:
        mutations = load(arguments.names)
    except KeyError as error:
        parser.error(str(error.args[0]))
    commit, began = results.commit_of(ROOT), time.monotonic()
    with copy_of(ROOT) as copy, Stack.start(smtp=False, durable=False) as stack:
        environment = environment_of(copy, os.environ)
        prove_imported(copy, environment)
        assert stack.kafka is not None  # asked for
        servers = {"OUTBOX_DATABASE_URL": stack.database_url, "OUTBOX_KAFKA_BOOTSTRAP": stack.kafka.bootstrap}
        tried = try_all(Runner(copy, environment, servers, listed_only=arguments.listed), mutations, commit=commit)
    unnoticed = [mutation.name for mutation, outcome in tried if not isinstance(outcome, Red)]
    say(f"{len(tried) - len(unnoticed)} of {len(tried)} red at {commit} in {time.monotonic() - began:.0f} s")
    for name in unnoticed:
        say(f"not red: {name}")
    return 1 if unnoticed else 0


def try_all(runner: Runner, mutations: Sequence[Mutation], *, commit: str) -> list[tuple[Mutation, Outcome]]:
    """Return what comes of each of *mutations*; say so and keep it as it comes."""
    known = [mutation.name for mutation in load()]
    say(f"{len(mutations)} mutations; first their tests without any")
    green = runner.green(mutations)
    tried: list[tuple[Mutation, Outcome]] = []
    for mutation in mutations:
        outcome = runner.try_out(mutation, green)
        tried.append((mutation, outcome))
        results.keep(tried[-1:], known=known, commit=commit)
        say(f"{mutation.name:<40} {mutation.rule:<14} {worded(outcome)}")
    return tried


def worded(outcome: Outcome) -> str:
    """Return *outcome* as a line says it."""
    match outcome:
        case Red(test, seconds, listed):
            return f"red   {seconds:6.1f} s  {test}{'' if listed else '  (which it does not name)'}"
        case Survived():
            return "SURVIVED"
        case Failed(reason):
            return f"FAILED  {reason}"


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
