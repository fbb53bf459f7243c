"""A `read_committed` consumer that notes when each event of a topic came, while a bench does something else."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from confluent_kafka import Consumer, TopicPartition

from bench.peers.outboxes import number_of
from bench.peers.servers import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class Reader:
    """Every event of a topic since the reader began: its number and when it came, in the order of arrival."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        """Prepare to read *topic* from its end."""
        self.arrivals: list[tuple[int, float]] = []
        settings = {"group.id": "bench-reader", "isolation.level": "read_committed", "fetch.wait.max.ms": 50}
        self._consumer = Consumer({**settings, "bootstrap.servers": bootstrap, "enable.auto.commit": False})
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        ends = [self._consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions]
        self._consumer.assign([TopicPartition(topic, number, end) for number, end in enumerate(ends)])
        self._done = threading.Event()
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="reader")

    def wait(self, until: Callable[[list[tuple[int, float]]], bool], *, timeout_seconds: float) -> bool:
        """Return whether *until* held of the arrivals within the time; it is asked after each batch of them."""
        with self._came:
            return self._came.wait_for(lambda: until(self.arrivals), timeout_seconds)

    def wait_for(self, numbers: range, *, timeout_seconds: float = 60.0) -> None:
        """Wait for each event of *numbers*."""
        missing, looked = set(numbers), 0

        def arrived(arrivals: list[tuple[int, float]]) -> bool:
            nonlocal looked
            missing.difference_update(number for number, _ in arrivals[looked:])
            looked = len(arrivals)
            return not missing

        if not self.wait(arrived, timeout_seconds=timeout_seconds):
            raise RuntimeError(f"expected events {numbers.start} to {numbers.stop - 1}, {len(missing)} did not come")

    def wait_quiet(self, seconds: float) -> None:
        """Wait until nothing has come for so long."""
        seen = -1
        while seen != len(self.arrivals):
            seen = len(self.arrivals)
            self.wait(lambda arrivals, seen=seen: len(arrivals) > seen, timeout_seconds=seconds)  # type: ignore[misc]  # the default binds it

    def __enter__(self) -> Self:
        """Begin to read."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Read no more."""
        self._done.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._done.is_set():
            messages = self._consumer.consume(1000, 0.005)
            now = time.monotonic()
            found = [
                (number_of(value), now)
                for message in messages
                if message.error() is None and isinstance(value := message.value(), bytes)
            ]
            if found:
                with self._came:
                    self.arrivals += found
                    self._came.notify_all()
