"""`feeder_process.py DATABASE_URL INSERTION RATE ROWS FIRST SECONDS`: a host that inserts events at an even rate.

*rows* an `insert` and transaction, *rate* events a second, numbered from *first*. At the end it prints, as JSON, when
each transaction was sent and had committed, by the clock that all processes of a machine share. Given 0 seconds it goes
on until its stdin ends.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import psycopg


def main() -> int:
    """Insert, and print the times."""
    database_url, insertion = sys.argv[1], sys.argv[2]
    rate, rows, first, seconds = float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6])
    stopped = threading.Event()
    if not seconds:
        threading.Thread(target=_stop_with_stdin, args=(stopped,), daemon=True).start()
    planned = round(rate * seconds / rows) if seconds else sys.maxsize
    committed: list[tuple[float, float]] = []
    with psycopg.connect(database_url, autocommit=True) as connection:
        cursor = psycopg.RawCursor(connection)
        began = time.monotonic()
        while len(committed) < planned:
            if stopped.wait(max(0.0, began + len(committed) * rows / rate - time.monotonic())):
                break
            number = first + len(committed) * rows
            sent = time.monotonic()
            cursor.execute(insertion, (number, number + rows - 1), prepare=True)
            committed.append((sent, time.monotonic()))
    sys.stdout.write(json.dumps(committed) + "\n")
    return 0


def _stop_with_stdin(stopped: threading.Event) -> None:
    sys.stdin.read()
    stopped.set()


if __name__ == "__main__":
    sys.exit(main())
