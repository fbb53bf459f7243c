"""What happened, as it happened: a line of JSON each, counted by kind; and what must not have happened."""

import json
import threading
import time
from collections import Counter
from pathlib import Path


class Journal:
    """Written by every thread of a run; the file is part of the evidence."""

    def __init__(self, folder: Path) -> None:
        """Begin `faults.jsonl` in *folder*."""
        self._file = folder / "faults.jsonl"
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def count(self, what: str, **facts: object) -> None:
        """Note that *what* has happened."""
        with self._lock:
            self.counts[what] += 1
            self._write(what, facts)

    def note(self, what: str, **facts: object) -> None:
        """Note something that is not counted."""
        with self._lock:
            self._write(what, facts)

    def accuse(self, what: str) -> None:
        """Note what makes the run a failure."""
        with self._lock:
            self.wrong.append(what)
            self._write("WRONG", {"what": what})

    def _write(self, what: str, facts: dict[str, object]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": time.time(), "what": what, **facts}, default=str) + "\n")
