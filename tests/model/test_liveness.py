"""Two relays that live come to an end by themselves, from every state that a fault can leave; without rule 11 never."""

import pytest

from tests.model.bounds import Bounds
from tests.model.exploration import BrokenScheduleError, Exploration
from tests.model.faults import Action
from tests.model.kafka_model import EVENTS
from tests.model.liveness import come_to_an_end
from tests.model.rules import AS_IT_IS, Rules
from tests.model.scripts import Script
from tests.model.world import World

ONE: tuple[Script, ...] = (("insert a", "commit async"),)


# A relay finds its transaction open, and waits for the markers of its abort; meanwhile its session ends.
OPENING: tuple[Action, ...] = (
    ("host", 0, "insert a"),
    ("host", 0, "commit async"),
    *(("relay", 0, how) for how in ("look", "produce", "produce", "barrier", "ahead", "held, not repeated")),
    ("relay", 0, "check"),
    ("relay", 0, "init"),
    ("markers", 0, ""),
    ("end session", 0, ""),
)


def published_beside_a_zombie(rules: Rules) -> bool:
    """Return whether a successor publishes while a zombie makes a step whenever the successor has something open."""
    world = World.at_the_beginning(Bounds(hosts=ONE, faults=2, rules=rules, slow_markers=True))
    for action in OPENING:
        world.do(action)
    for _ in range(500):
        free, _ = world.actions()
        zombie = [one for one in free if one[:2] == ("relay", 0)]
        others = [one for one in free if one[:2] != ("relay", 0)]
        world.do((zombie if zombie and world.kafka.added[0] else others or zombie)[0])
        if world.kafka.read_committed(EVENTS):
            return True
    return False


def test_a_zombie_that_checks_its_lease_before_each_retry_hinders_nobody_for_long() -> None:
    assert published_beside_a_zombie(AS_IT_IS)


def test_a_zombie_that_repeats_its_init_without_a_look_at_its_lease_hinders_its_successor_for_ever() -> None:
    assert not published_beside_a_zombie(Rules(lease_before_retry=False))


@pytest.mark.parametrize("kind", ["kill", "end session", "crash PostgreSQL", "time out", "EndTxn"])
def test_from_every_state_a_fair_schedule_publishes_everything(kind: str) -> None:
    bounds = Bounds(hosts=ONE, faults=1, kinds=frozenset({kind}), slow_markers=True)

    assert Exploration(bounds, each=come_to_an_end).run().states > 50


def test_a_relay_that_initialises_its_producer_before_it_has_the_lease_fences_for_ever() -> None:
    bounds = Bounds(hosts=ONE, faults=0, rules=Rules(lease_before_producer=False))

    with pytest.raises(BrokenScheduleError, match="no end in sight") as found:
        Exploration(bounds, each=come_to_an_end).run()

    print(f"\ninit before the lease, for ever:{found.value}")  # noqa: T201  # pytest -s shows the schedule
