"""A read_committed consumer that notes when it sees what: whether anything moves, and how soon after a fault."""

import json
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from confluent_kafka import Consumer, TopicPartition

_POLL = 0.1


class Observer:
    """One thread that reads topics from their beginning; they exist already."""

    def __init__(self, bootstrap: str, topics: Sequence[str], *, partitions: int) -> None:
        """Prepare to read all *partitions* of each topic."""
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "chaos-observer",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
                "reconnect.backoff.max.ms": 200,  # a broker that is back is found at once: we measure how soon
                "log_level": 0,
            }
        )
        self._places = [TopicPartition(topic, number, 0) for topic in topics for number in range(partitions)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self.seconds: dict[int, int] = {}  # how many were seen in each second since the start
        self.seen = 0
        self.latest_emitted_at = 0.0  # the latest moment of emission (payload `at`) among those seen
        self._watched_since: float | None = None
        self._first_at: float | None = None

    def start(self) -> None:
        """Begin."""
        self._started = time.monotonic()
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Stop; return whether it did within *seconds*."""
        self._stop.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def first_since(self, moment: float) -> float | None:
        """Return when the first event was seen that was emitted after *moment*; asked from that moment on."""
        if self._watched_since != moment:
            self._first_at, self._watched_since = None, moment
        return self._first_at

    def longest_silence(self) -> int:
        """Return the longest time, in seconds, in which nothing was seen."""
        moments = [0, *sorted(self.seconds)]
        return max((after - before for before, after in pairwise(moments)), default=0)

    def _run(self) -> None:
        self._consumer.assign(self._places)
        try:
            while not self._stop.is_set():
                message = self._consumer.poll(_POLL)
                if message is not None and message.error() is None:
                    self._note(message.value() or b"")
        finally:
            self._consumer.close()

    def _note(self, value: bytes) -> None:
        now = time.monotonic()
        second = int(now - self._started)
        self.seconds[second] = self.seconds.get(second, 0) + 1
        self.seen += 1
        if b'"at"' in value:
            told: dict[str, Any] = json.loads(value)
            self.latest_emitted_at = max(told["at"], self.latest_emitted_at)
            if self._watched_since is not None and told["at"] > self._watched_since and self._first_at is None:
                self._first_at = now
