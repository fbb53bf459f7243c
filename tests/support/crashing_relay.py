"""`python -m tests.support.crashing_relay drain`: a relay that something happens to at a telemetry event.

OUTBOX_TEST_CRASH_AT="relay.barrier.written:3" sends SIGKILL to itself at the third such event, OUTBOX_TEST_PAUSE_AT, in
the same form, SIGSTOP. At OUTBOX_TEST_MEET_AT the thread that got there waits for the test, which listens on the port
OUTBOX_TEST_MEET_PORT and does something meanwhile: cut the network, end a session (`meeting.py`). OUTBOX_TEST_EVENTS
names a file that gets a line of JSON an event, for tests that wait on one.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from relay.commands import worded
from relay.resync.deciding import Choice, Identity
from relay.resync.running import Request, execute, look
from relay.resync.writing import Plan
from relay.service import serve
from relay.telemetry import EVENTS, Observer
from runtime.exits import ExitCode, leave


def at(place: str, happen: Callable[[], None]) -> Observer:
    """Return an observer that has something *happen* at the nth event, given as `name:n`."""
    name, _, count = place.partition(":")
    if name not in EVENTS:
        raise ValueError(f"expected one of {sorted(EVENTS)}, got {name!r}")
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def observe(event: str, _facts: Mapping[str, object]) -> None:
        if event != name:
            return
        with lock:
            seen[event] += 1
            here = seen[event] == int(count or 1)
        if here:
            happen()

    return observe


def send_to_self(number: signal.Signals) -> Callable[[], None]:
    """Return what sends *number* to this process."""
    return lambda: os.kill(os.getpid(), number)


def meet(port: int) -> Callable[[], None]:
    """Return what waits until the test that listens on *port* hangs up."""

    def wait() -> None:
        with socket.create_connection(("127.0.0.1", port)) as test:
            test.recv(1)

    return wait


def written_to(path: Path) -> Observer:
    """Return an observer that appends each event to a file."""
    lock = threading.Lock()

    def observe(event: str, facts: Mapping[str, object]) -> None:
        with lock, path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, "at": time.time(), **facts}, default=str) + "\n")

    return observe


def resync(choice: str, observers: Sequence[Observer]) -> None:
    """Put every shard right as `outbox relay resync --all --yes` does."""
    request = Request(None, Choice(choice), Identity.AS_IT_IS, None)
    plans = [survey.plan(request.choice or Choice.TOPICS, "a test") for survey in look(os.environ, request)]
    execute(os.environ, [plan for plan in plans if isinstance(plan, Plan)], done=_nothing, observers=observers)


def _nothing(_plan: Plan) -> None:
    """Say nothing."""


def run(mode: str, observers: Sequence[Observer]) -> None:
    """Run a relay as the real command does."""
    if mode.startswith("resync"):
        resync(mode.removeprefix("resync:"), observers)
        return
    report = serve(os.environ, drain=mode == "drain", shards=os.environ.get("OUTBOX_TEST_SHARDS"), observers=observers)
    for outcome in report.outcomes:
        sys.stdout.write(worded(outcome) + "\n")
    if report.errors:
        raise report.errors[0]


def main() -> int:
    """Run a relay with the observers that the environment asks for, and return its exit code."""
    observers: list[Observer] = []
    if path := os.environ.get("OUTBOX_TEST_EVENTS"):
        observers.append(written_to(Path(path)))
    if place := os.environ.get("OUTBOX_TEST_PAUSE_AT"):
        observers.append(at(place, send_to_self(signal.SIGSTOP)))
    if place := os.environ.get("OUTBOX_TEST_CRASH_AT"):
        observers.append(at(place, send_to_self(signal.SIGKILL)))
    if place := os.environ.get("OUTBOX_TEST_MEET_AT"):
        observers.append(at(place, meet(int(os.environ["OUTBOX_TEST_MEET_PORT"]))))
    try:
        run(sys.argv[1], observers)
    except Exception as error:  # noqa: BLE001  # as the real command does
        sys.stderr.write(f"error: {error}\n" + "".join(f"fix: {note}\n" for note in getattr(error, "__notes__", ())))
        return int(getattr(error, "exit_code", ExitCode.FAILED))
    return ExitCode.DONE


if __name__ == "__main__":
    leave(main())
