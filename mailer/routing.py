"""Which transports a window may use: those whose breakers are closed, in order, and at most one that is being probed.

Nothing is spent while a breaker is open. One message at a time goes to an open transport whose pause is over; when it
is taken, the breaker closes, and the preferred transport is preferred again. When all are open, mail waits.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

CLOSED = "closed"
HALF_OPEN = "half_open"
# Somebody else is probing: it is over soon, one way or the other.
PROBE_PATIENCE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Breaker:
    """What the route asks of a transport's breaker."""

    state: str
    retry_in: timedelta


@dataclass(frozen=True, slots=True)
class Route:
    """The names of the transports to try, in order; *probing* is one whose breaker is open: one message goes."""

    names: tuple[str, ...]
    probing: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """No transport may be used before *pause* is over."""

    pause: timedelta


def route(
    names: Sequence[str], *, breakers: Mapping[str, Breaker], probe: Callable[[str], bool], pinned: str | None = None
) -> Route | Wait:
    """Return the way for a message; *probe* asks for the right to try an open transport, and is called once at most.

    A *pinned* message goes through that transport only; one that no longer exists binds nobody.
    """
    if pinned is not None and pinned in names:
        names = [pinned]
    usable: list[str] = []
    pauses: list[timedelta] = []
    probing: str | None = None
    for name in names:
        breaker = breakers.get(name)
        if breaker is None or breaker.state == CLOSED:
            usable.append(name)
        elif not usable and probing is None and breaker.retry_in <= timedelta(0) and probe(name):
            probing = name
            usable.append(name)
        else:
            pauses.append(_pause(breaker))
    return Route(tuple(usable), probing) if usable else Wait(min(pauses))


def most(names: Iterable[str], *, breakers: Mapping[str, Breaker], limit: int) -> int:
    """Return how many messages are worth claiming: *limit*; one while all there may be is a probe; else none."""
    found = [breakers.get(name) for name in names]
    if any(breaker is None or breaker.state == CLOSED for breaker in found):
        return limit
    return int(any(breaker is not None and breaker.retry_in <= timedelta(0) for breaker in found))


def _pause(breaker: Breaker) -> timedelta:
    if breaker.state == HALF_OPEN or breaker.retry_in <= timedelta(0):
        return PROBE_PATIENCE
    return breaker.retry_in
