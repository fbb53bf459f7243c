"""`python -m bench.mail.profile FOLDER [worker|consumer]`: where their time goes, as flame graphs and by step.

py-spy looks 200 times a second at who holds the interpreter. What a step costs is its part of the samples, times the
CPU time of the process, by the mails (or records) that it made of it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg

from bench.mail.flow import CONSUMER, SWEEPER, WORKER, flow
from bench.mail.sink import sink
from bench.mail_lanes import INSERT
from bench.processor import cpu_seconds
from bench.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


MAILS = 4000
# A consumer is ten times as fast.
RECORDS = 80_000


@dataclass(frozen=True, slots=True)
class Took:
    """How many there are in all, how many were made so far, and what waits until there are so many."""

    total: int
    done: Callable[[], int]
    wait: Callable[[int], object]


# A step is the first of these that a stack has, from the innermost frame outwards.
WORKER_STEPS: Mapping[str, Sequence[str]] = {
    "render": ("Library._rendered",),
    "inline CSS": ("Library._inlined",),
    "compose": ("compose (mailer/compose",),
    "PostgreSQL": ("(mailer/store.py", "(mailer/database.py"),
    "SMTP": ("(mailer/transports/", "_worker (concurrent/futures/thread"),
    "window": ("(mailer/windows.py", "(mailer/tasks.py"),
}
CONSUMER_STEPS: Mapping[str, Sequence[str]] = {
    "render (check)": ("Library._rendered",),
    "address and locale": ("Library.recipient_and_locale",),
    "decode": ("decode (outbox/",),
    "plan": ("(mailer/planning.py",),
    "PostgreSQL": ("(mailer/owing.py", "(mailer/database.py"),
    "Kafka": ("(mailer/subscription.py",),
    "permits, metrics": ("ConsumerLoop._told",),
}


def by_step(raw: str, steps: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the part of the samples of each step, given py-spy's raw stacks."""
    counts: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, samples = line.rpartition(" ")
        counts[_step(stack.split(";"), steps)] += int(samples)
    return {step: count / counts.total() for step, count in counts.most_common()}


def _step(frames: Sequence[str], steps: Mapping[str, Sequence[str]]) -> str:
    for frame in reversed(frames):
        for step, marks in steps.items():
            if any(mark in frame for mark in marks):
                return step
    return "else"


def _watched(pid: int, form: str, to: Path, work: Callable[[], object]) -> None:
    """Have py-spy write what *pid* does while *work* lasts."""
    spy = Path(sys.executable).with_name("py-spy")
    words = [str(spy), "record", "--pid", str(pid), "--format", form, "--output", str(to), "--rate", "200"]
    watching = subprocess.Popen(
        [*words, "--duration", "3600", "--gil", "--function", "--nonblocking"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        work()
    finally:
        watching.send_signal(signal.SIGINT)
        watching.wait(60)


def _worker(folder: Path) -> Table:
    with sink() as taken, flow(taken.dsn) as run:
        with psycopg.connect(run.servers.database_url, autocommit=True) as connection:
            connection.execute(INSERT, (2 * MAILS,))
        with run.running(SWEEPER, WORKER) as processes:
            taken.wait(50)
            (child,) = psutil.Process(processes[WORKER]).children()
            took, to = Took(2 * MAILS, lambda: taken.report().accepted, taken.wait), folder / "flame-worker.svg"
            return _table(to, child.pid, WORKER_STEPS, took)


def _consumer(folder: Path) -> Table:
    from bench import consumer  # noqa: PLC0415  beside this, no bench is needed here

    with flow("null:") as run:
        consumer.publish(run.servers.kafka_bootstrap, RECORDS)
        count = "select coalesce(max(id), 0) from outbox.delivery"
        with run.running(CONSUMER) as processes:
            run.wait(count, 1)
            took = Took(RECORDS, lambda: int(run.number(count)), lambda wanted: run.wait(count, wanted))
            return _table(folder / "flame-consumer.svg", processes[CONSUMER], CONSUMER_STEPS, took)


def _table(to: Path, pid: int, steps: Mapping[str, Sequence[str]], took: Took) -> Table:
    """Watch for the steps, and then again for the picture."""
    began, spent = took.done(), cpu_seconds(pid)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.txt"
        _watched(pid, "raw", raw, lambda: took.wait(began + took.total // 2))
        parts = by_step(raw.read_text(encoding="utf-8"), steps)
    made, used = took.done() - began, cpu_seconds(pid) - spent
    _watched(pid, "flamegraph", to, lambda: took.wait(took.total))
    rows = [(step, f"{part:.0%}", f"{1e6 * part * used / made:,.0f}") for step, part in parts.items()]
    return Table(("step", "of the samples", "µs each"), [*rows, ("all", "", f"{1e6 * used / made:,.0f}")])


def main() -> None:
    """Write both pictures, and print both tables."""
    folder, wanted = Path(sys.argv[1]), sys.argv[2:]
    for name, profile in (("worker", _worker), ("consumer", _consumer)):
        if wanted and name not in wanted:
            continue
        print(f"{name}\n{profile(folder)}\n", flush=True)


if __name__ == "__main__":
    main()
