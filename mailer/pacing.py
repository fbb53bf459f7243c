"""When the messages of a window may go, where transports have a limit: each at the beginning of a slot of its own.

A slot is 1 / max_per_second long. The slots of a transport are one line in PostgreSQL, which all workers reserve from,
a window at a time: together they keep the limit, whatever their number. No more than *line* is reserved ahead: what
would begin later goes back to the queue, so that mail of a more urgent lane finds a short line and a free worker.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Limits:
    """*rates* are messages a second, by transport; those without a limit are not among them."""

    rates: Mapping[str, float] = field(default_factory=dict)
    line: timedelta = timedelta(seconds=2)

    def bind(self, names: Iterable[str]) -> bool:
        """Return whether any of the transports *names* has a limit."""
        return any(name in self.rates for name in names)

    def fitting(self, names: Sequence[str]) -> list[bool]:
        """Return which of the messages for *names* fit in a line; the first of each transport always does."""
        seen: Counter[str] = Counter()
        fits: list[bool] = []
        for name in names:
            seen[name] += 1
            fits.append(name not in self.rates or seen[name] <= max(1, int(self.rates[name] * self._line)))
        return fits

    def seconds(self, names: Iterable[str]) -> dict[str, float]:
        """Return how long the slots are, in all, that the messages for *names* need."""
        return {name: count / self.rates[name] for name, count in Counter(names).items() if name in self.rates}

    def starts(self, names: Sequence[str], begins: Mapping[str, float]) -> list[float | None]:
        """Return in how many seconds each message may go, by where the slots begin; nothing where there is no slot."""
        before: Counter[str] = Counter()
        starts: list[float | None] = []
        for name in names:
            if name not in self.rates:
                starts.append(0.0)
            elif name not in begins:
                starts.append(None)
            else:
                starts.append(begins[name] + before[name] / self.rates[name])
            before[name] += 1
        return starts

    def pause(self, names: Iterable[str]) -> timedelta:
        """Return after how long what found no slot comes back: while half of the line is still there."""
        slots = [1 / self.rates[name] for name in names if name in self.rates]
        return timedelta(seconds=max([self._line, *slots]) / 2)

    @property
    def _line(self) -> float:
        return self.line.total_seconds()
