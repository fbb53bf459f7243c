"""Tell the story: `make demo`, or `python -m examples.demo [--once]`.

Starts PostgreSQL, Kafka and an SMTP sink, and the application, relay, consumer, worker and sweeper as processes of
their own. Every line that it prints about an event or a mail was asked for: from the application over HTTP, from the
tables, from the sink. What does not come true within its time ends the demo with 1 and the name of what is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from devstack import Stack
from devstack.errors import DevstackError
from examples.demo.processes import DemoError, Processes
from examples.demo.story import Story

if TYPE_CHECKING:
    from types import FrameType


def main() -> int:
    """Return 0 when every step of the story came true, 1 when one did not."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo", description="The whole pipeline on this machine, told as a story."
    )
    parser.add_argument("--once", action="store_true", help="end when the story is told, instead of running on")
    arguments = parser.parse_args()
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    logs = Path(".devstack") / "demo-logs"
    try:
        with contextlib.ExitStack() as stack:
            return _run(stack, logs=logs, stop=stop, once=arguments.once)
    except DevstackError as error:
        print(f"\nerror: {error}", *getattr(error, "__notes__", []), sep="\n  fix: ", file=sys.stderr)
        return 1
    except (DemoError, httpx.HTTPError) as error:
        print(f"\nerror: {error}\n  fix: the logs of every process are in {logs.resolve()}", file=sys.stderr)
        return 1


def _run(exit_stack: contextlib.ExitStack, *, logs: Path, stop: threading.Event, once: bool) -> int:
    print("Starting PostgreSQL, Apache Kafka and an SMTP sink on 127.0.0.1 …", flush=True)
    servers = exit_stack.enter_context(Stack.start(kafka=True, postgres=True, smtp=True))
    processes = exit_stack.enter_context(Processes(servers, logs=logs, environment=dict(os.environ), stop=stop))
    processes.start_all()
    story = Story(servers, processes)
    story.tell()
    story.where_to_look()
    if once or stop.is_set():
        return 0
    print("\nRunning on until Ctrl-C.", flush=True)
    while not stop.wait(1.0):
        processes.check()
    print("\nStopping.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
