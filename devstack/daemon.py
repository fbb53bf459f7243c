"""The process behind `outbox dev up`: it holds the stack until SIGTERM. `devstack.background` starts it.

Its one line on standard output is JSON: the addresses once everything runs, or what went wrong. The options on its
command line are the servers wanted.
"""

import json
import os
import signal
import sys
import threading
import traceback

from devstack.stack import Stack


def main() -> int:
    """Hold the stack; return 1 when it does not come up."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        stack = Stack.start(postgres="postgres" in sys.argv, kafka="kafka" in sys.argv, smtp="smtp" in sys.argv)
    except Exception as error:  # noqa: BLE001  whatever it is, the waiting command shows it
        traceback.print_exc()
        _say({"error": str(error) or type(error).__name__, "notes": getattr(error, "__notes__", [])})
        return 1
    _say(
        {
            "pid": os.getpid(),
            "folder": str(stack.folder),
            "environment": stack.environment(),
            "inbox": stack.sink and stack.sink.http_url,
        }
    )
    stopped.wait()
    stack.close()
    return 0


def _say(line: dict[str, object]) -> None:
    """Write the line, and close the pipe: its reader need not stay."""
    print(json.dumps(line), flush=True)  # noqa: T201  this is how the command learns it
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
