"""The modelled relay and the product's own code make the same calls in the same order, whatever happens to them.

Both go through the same schedules, side by side: after each step they have the same choices, and PostgreSQL and Kafka
are in the same state. So what exploration.py finds of the model within these bounds holds for the code, and a change of
the code's order of calls shows here.
"""

import pytest

from tests.model.bounds import Bounds
from tests.model.faults import Action
from tests.model.real_relay import RealRelay
from tests.model.scripts import Script
from tests.model.world import World

PAGES: Script = ("insert a", "insert b", "insert a", "commit")
SHORT: Script = ("insert a", "commit async")
TWO: tuple[Script, ...] = (("xid", "rollback"), SHORT)
EACH = ("kill", "end session", "crash PostgreSQL", "time out", "EndTxn")


def replayed(bounds: Bounds, trail: list[Action]) -> World:
    """Return a world of real relays to which *trail* has happened."""
    world = World.at_the_beginning(bounds, RealRelay)
    for action in trail:
        world.do(action)
    return world


def ended(world: World) -> None:
    for relay in world.relays:
        relay.kill()


class SideBySide:
    """Goes through every schedule of *bounds* with both."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._seen: set[int] = set()
        self._trail: list[Action] = []
        self.steps = 0

    def run(self) -> None:
        self._visit(World.at_the_beginning(self._bounds), World.at_the_beginning(self._bounds, RealRelay))

    def _visit(self, model: World, real: World | None) -> None:
        """Try each step from *model*; *real* is used up by the first of them."""
        if (key := model.key()) in self._seen:
            if real is not None:
                ended(real)
            return
        self._seen.add(key)
        actions = [*model.actions()[0], *model.actions()[1]]
        real = replayed(self._bounds, self._trail) if real is None else real
        assert sorted([*real.actions()[0], *real.actions()[1]]) == sorted(actions), self._trail
        for action in actions:
            child = model.copy()
            child.do(action)
            real = replayed(self._bounds, self._trail) if real is None else real
            real.do(action)
            self._trail.append(action)
            self._compare(child, real)
            self._visit(child, real)
            self._trail.pop()
            real = None
        if real is not None:
            ended(real)

    def _compare(self, model: World, real: World) -> None:
        self.steps += 1
        assert real.pg.key() == model.pg.key(), self._trail
        assert real.kafka.key() == model.kafka.key(), self._trail
        assert real.kafka.epochs == model.kafka.epochs, self._trail
        assert [relay.state for relay in real.relays] == [relay.state for relay in model.relays], self._trail


@pytest.mark.parametrize("kind", EACH)
def test_the_code_makes_the_calls_of_the_model_whatever_happens(kind: str) -> None:
    both = SideBySide(Bounds(hosts=(SHORT,), faults=1, kinds=frozenset({kind})))

    both.run()

    assert both.steps > 50


def test_the_code_makes_the_calls_of_the_model_with_pages_and_a_first_position() -> None:
    both = SideBySide(Bounds(hosts=(PAGES,), relays=1, faults=1, kinds=frozenset({"EndTxn"}), bootstrapped=False))

    both.run()

    assert both.steps > 300


def test_the_code_makes_the_calls_of_the_model_while_markers_are_slow() -> None:
    both = SideBySide(Bounds(hosts=(SHORT,), faults=1, kinds=frozenset({"kill", "EndTxn"}), slow_markers=True))

    both.run()

    assert both.steps > 500


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", EACH)
def test_the_code_makes_the_calls_of_the_model_with_two_transactions(kind: str) -> None:
    both = SideBySide(Bounds(hosts=TWO, faults=1, kinds=frozenset({kind})))

    both.run()

    assert both.steps > 500
