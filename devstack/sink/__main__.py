"""Run the sink by itself: `python -m devstack.sink [--smtp-port 1025] [--http-port 8025]`, until Ctrl-C."""

import argparse
import signal
import threading

from devstack.sink.server import Sink


def main() -> None:
    """Take mail until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m devstack.sink", description="Take mail, send none on, show it in a browser."
    )
    parser.add_argument("--smtp-port", type=int, default=1025, help="0: a free one (default: %(default)s)")
    parser.add_argument("--http-port", type=int, default=8025, help="0: a free one (default: %(default)s)")
    wanted = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with Sink(port=wanted.smtp_port, http_port=wanted.http_port) as sink:
        print(f"mail to {sink.dsn}, look at {sink.http_url}", flush=True)  # noqa: T201  where to look
        stopped.wait()


if __name__ == "__main__":
    main()
