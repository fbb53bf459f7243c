"""What a backlog's way into the topic came to: events a second and CPU time an event, from samples of it.

Only the time between the first growth that was seen and the last counts: starting a process, a JVM's task or a lease is
not what is compared, and neither is waiting for an end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.contest import Figures


@dataclass(frozen=True, slots=True)
class Sample:
    """How far the topic was visible at a moment, and the CPU seconds each part had spent until then."""

    at: float
    visible: int
    cpu: Mapping[str, float]


def figures(samples: Sequence[Sample], *, events: int) -> Figures:
    """Return `rate` and `cpu_us`, and of the latter the share of each part, for a backlog of *events*.

    Offsets grow by control records too, so they say which share of the events came between two samples, not how many.
    Raises ValueError when the backlog did not come in, or came in one piece.
    """
    start, end = samples[0].visible, samples[-1].visible
    if end - start < events:
        raise ValueError(f"expected {events} events to become visible, got {end - start}")
    first = next(sample for sample in samples if sample.visible > start)
    last = next(sample for sample in samples if sample.visible == end)
    if first is last:
        raise ValueError(f"expected {events} events to become visible bit by bit, got all of them at once")
    counted = events * (last.visible - first.visible) / (end - start)
    parts = {f"{part}_us": 1e6 * (last.cpu[part] - first.cpu[part]) / counted for part in last.cpu}
    return {"rate": counted / (last.at - first.at), "cpu_us": sum(parts.values()), **parts}
