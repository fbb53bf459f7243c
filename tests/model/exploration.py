"""Every schedule within bounds: depth first, each state once; or breadth first, for the shortest counterexample."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tests.model.bounds import Bounds
from tests.model.faults import Action
from tests.model.promise import PromiseBrokenError
from tests.model.world import World


@dataclass(frozen=True, slots=True)
class Explored:
    """What was looked at. *schedules*: how many complete ones there are, each a path through the *states*."""

    states: int
    steps: int
    endings: int
    schedules: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.states} states, {self.steps} steps, {self.endings} endings, {self.schedules:.2g} schedules, "
            f"{self.seconds:.1f} s"
        )


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A schedule that breaks the promise."""

    steps: tuple[str, ...]
    broken: str
    states: int

    def __str__(self) -> str:
        lines = [f"{number:3}  {step}" for number, step in enumerate(self.steps, 1)]
        return "\n".join([*lines, f"  => {self.broken}   ({self.states} states were looked at)"])


class BrokenScheduleError(AssertionError):
    """The promise is broken; the message is the schedule that does it."""


class Exploration:
    """Explores all of *bounds*, depth first."""

    def __init__(self, bounds: Bounds, *, each: Callable[[World], None] | None = None) -> None:
        """Look at *each* state, too."""
        self._bounds = bounds
        self._each = each
        self._paths: dict[int, int] = {}  # of each state: how many schedules lead from it to an ending
        self._finished: set[int] = set()
        self._trail: list[Action] = []
        self._steps = self._endings = 0

    def run(self) -> Explored:
        """Return what was looked at; raise BrokenScheduleError with the first schedule that breaks the promise."""
        started = time.monotonic()
        start = World.at_the_beginning(self._bounds)
        try:
            schedules = self._visit(start)
        except PromiseBrokenError as broken:
            found = told(self._bounds, self._trail, str(broken), states=len(self._paths))
            raise BrokenScheduleError(f"\n{found}") from None
        seconds = time.monotonic() - started
        return Explored(len(self._paths), self._steps, self._endings, schedules, seconds)

    def _visit(self, world: World) -> int:
        key = world.key()
        if (known := self._paths.get(key)) is not None:
            return known
        self._paths[key] = 0
        if self._each is not None:
            self._each(world)
        free, faults = world.actions()
        if not free:
            self._end(world)
        paths = 0 if free else 1
        for action in (*free, *faults):
            child = world.copy()
            self._trail.append(action)
            child.do(action)
            self._steps += 1
            paths += self._visit(child)
            self._trail.pop()
        self._paths[key] = paths
        return paths

    def _end(self, world: World) -> None:
        """Nothing happens any more by itself: do the rest, and check."""
        key = hash((world.pg.key(), world.kafka.key(), world.hung, world.other))
        if key not in self._finished:
            self._finished.add(key)
            self._endings += 1
            world.copy().finish()


def shortest_counterexample(bounds: Bounds, *, most_states: int = 400_000) -> Counterexample | None:
    """Return the shortest schedule that breaks the promise, or None if there is none within *most_states*.

    Every state is finished at once, so that a loss shows as soon as it can no longer be put right.
    """
    start = World.at_the_beginning(bounds)
    seen = {start.key()}
    finished: set[int] = set()
    queue: deque[tuple[World, tuple[Action, ...]]] = deque([(start, ())])
    while queue and len(seen) < most_states:
        world, trail = queue.popleft()
        try:
            _finish_once(world, finished)
        except PromiseBrokenError as broken:
            return told(bounds, list(trail), str(broken), states=len(seen))
        free, faults = world.actions()
        for action in (*free, *faults):
            child = world.copy()
            try:
                child.do(action)
            except PromiseBrokenError as broken:
                return told(bounds, [*trail, action], str(broken), states=len(seen))
            if (key := child.key()) not in seen:
                seen.add(key)
                queue.append((child, (*trail, action)))
    return None


def _finish_once(world: World, finished: set[int]) -> None:
    """Kill everything here: hosts' open transactions are rolled back, a fresh relay does the rest."""
    key = hash((world.pg.key(), world.kafka.key(), world.hung, world.other))
    if key in finished:
        return
    finished.add(key)
    ended = world.copy()
    for tx, _ in ended.pg.running:
        ended.pg.rollback(tx)
    ended.finish()


def told(bounds: Bounds, trail: list[Action], broken: str, *, states: int) -> Counterexample:
    """Return the schedule of *trail* in words."""
    world = World.at_the_beginning(bounds)
    words = []
    for action in trail:
        try:
            words.append(world.do(action))
        except PromiseBrokenError:
            what, number, how = action
            words.append(f"{what} {number}: {how}")
    return Counterexample(tuple(words), broken, states)
