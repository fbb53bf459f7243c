"""Two relays that live come to an end by themselves, from every state that a fault can leave; without rule 11 never."""

import pytest

from tests.model.bounds import Bounds, Script
from tests.model.exploration import BrokenScheduleError, Exploration
from tests.model.liveness import come_to_an_end
from tests.model.rules import Rules

ONE: tuple[Script, ...] = (("insert a", "commit async"),)


@pytest.mark.parametrize("kind", ["kill", "end session", "crash PostgreSQL", "time out", "EndTxn"])
def test_from_every_state_a_fair_schedule_publishes_everything(kind: str) -> None:
    bounds = Bounds(hosts=ONE, faults=1, kinds=frozenset({kind}), slow_markers=True)

    assert Exploration(bounds, each=come_to_an_end).run().states > 50


def test_a_relay_that_initialises_its_producer_before_it_has_the_lease_fences_for_ever() -> None:
    bounds = Bounds(hosts=ONE, faults=0, rules=Rules(lease_before_producer=False))

    with pytest.raises(BrokenScheduleError, match="no end in sight") as found:
        Exploration(bounds, each=come_to_an_end).run()

    print(f"\ninit before the lease, for ever:{found.value}")  # noqa: T201  # pytest -s shows the schedule
