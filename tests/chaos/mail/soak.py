"""A soak: events at a steady rate, relays and workers killed with SIGKILL at random, and then everything read back."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from console.migrate import upgrade
from devstack import Stack
from tests.chaos.mail import kills
from tests.chaos.mail.processes import Fleet
from tests.chaos.mail.reading_back import Findings, read_back
from tests.chaos.mail.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def main(given: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return 0 when nothing was lost, doubled or made up, 1 when something was; with `--broker`, run the kill suite."""
    if any(one.partition("=")[0] == "--broker" for one in given):
        return kills.main(given, environment)
    parser = argparse.ArgumentParser(prog="make chaos ARGS=--mail", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rate", type=float, default=100, help="events a second")
    parser.add_argument("--kills", type=int, default=None, help="kills of the relay, and as many of the worker")
    arguments = parser.parse_args(given)
    each = arguments.kills if arguments.kills is not None else max(1, int(arguments.seconds / 30))
    evidence = Path(tempfile.mkdtemp(prefix="outbox-chaos-"))
    print(
        f"seed {arguments.seed}: {arguments.seconds:.0f} s at {arguments.rate:.0f}/s, {each} kills each: {evidence}",
        flush=True,
    )
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(Stack.start(kafka=True, postgres=True, smtp=True))
        upgrade(servers.database_url)
        fleet = stack.enter_context(Fleet(servers, logs=evidence, environment=dict(environment)))
        writer = stack.enter_context(Writer(servers.database_url, rate=arguments.rate, seed=arguments.seed))
        fleet.kill_at_random(
            random.Random(arguments.seed),  # noqa: S311 - a schedule that can be replayed, not a secret
            seconds=arguments.seconds,
            kills=each,
            has_events=lambda: writer.committed > 0,
        )
        writer.stop()
        findings = read_back(servers, writer=writer)
    kinds = {"relay_kills": fleet.kills["relay"], "worker_kills": fleet.kills["worker"], "others": dict(fleet.kills)}
    print(json.dumps(dataclasses.asdict(findings) | kinds, indent=2))
    return _verdict(findings, evidence)


def _verdict(findings: Findings, evidence: Path) -> int:
    wrong = findings.wrong()
    if wrong:
        print(f"error: {'; '.join(wrong)}\n  fix: the logs of every process are in {evidence}", file=sys.stderr)
        return 1
    print("every event once in Kafka, every mail accounted for")
    return 0
