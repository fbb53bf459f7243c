"""The protocol in every small schedule, and without one of its rules: then a schedule must be found that breaks it."""

import pytest

from tests.model.bounds import Bounds
from tests.model.exploration import Exploration, shortest_counterexample
from tests.model.rules import Rules
from tests.model.scripts import Script

# One host's transaction is long, one rolls back before the disk knows of it, one commits late and does not wait.
ONE: tuple[Script, ...] = (("insert a", "commit"),)
LATE: tuple[Script, ...] = (("insert a", "commit async"),)
TWO: tuple[Script, ...] = (("xid", "rollback"), ("insert a", "commit async"))
TWO_PHASE: tuple[Script, ...] = (("insert a", "prepare", "commit prepared"), ("insert b", "commit async"))
EACH = ("kill", "end session", "crash PostgreSQL", "time out", "EndTxn")


def test_every_schedule_of_three_transactions_keeps_the_promise() -> None:
    assert Exploration(Bounds(faults=0)).run().endings > 100


@pytest.mark.parametrize("kind", EACH)
def test_every_schedule_of_two_transactions_and_one_fault_keeps_the_promise(kind: str) -> None:
    assert Exploration(Bounds(hosts=TWO, faults=1, kinds=frozenset({kind}))).run().endings > 10


def test_every_schedule_of_a_two_phase_commit_keeps_the_promise() -> None:
    bounds = Bounds(hosts=TWO_PHASE[:1], faults=1, kinds=frozenset({"kill", "crash PostgreSQL"}))

    assert Exploration(bounds).run().endings > 20


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_every_schedule_of_a_two_phase_commit_beside_another_keeps_the_promise() -> None:
    bounds = Bounds(hosts=TWO_PHASE, faults=1, kinds=frozenset({"kill", "crash PostgreSQL"}))

    assert Exploration(bounds).run().states > 10_000


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", EACH)
def test_every_schedule_of_three_transactions_and_one_fault_keeps_the_promise(kind: str) -> None:
    assert Exploration(Bounds(faults=1, kinds=frozenset({kind}))).run().endings > 1000


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("slow_markers", [False, True], ids=["", "slow markers"])
def test_every_schedule_of_one_transaction_and_two_faults_keeps_the_promise(*, slow_markers: bool) -> None:
    assert Exploration(Bounds(hosts=LATE, faults=2, slow_markers=slow_markers)).run().endings > 100


MUTATIONS = {
    "no renewal after an unclean commit": Bounds(
        hosts=(("insert a", "commit"), ("insert b", "commit")), kinds=frozenset({"EndTxn"}), rules=Rules(renewal=False)
    ),
    "bound from the sequence": Bounds(
        hosts=(("insert a", "commit"), ("insert b", "commit"), ("insert c", "commit")),
        faults=0,
        rules=Rules(bound_from_rows=False),
    ),
    "tx > xmax": Bounds(hosts=(("insert a", "commit"), ("insert b", "commit")), faults=0, rules=Rules(from_xmax=False)),
    "order by tx": Bounds(
        hosts=(("insert a", "insert b", "commit"), ("insert b", "commit")), faults=0, rules=Rules(order_by_id=False)
    ),
    "shared progress partition": Bounds(hosts=ONE, kinds=frozenset({"kill"}), rules=Rules(own_partition=False)),
    "end of partition instead of the end offset": Bounds(
        hosts=ONE,
        faults=2,
        kinds=frozenset({"kill", "lose markers"}),
        slow_markers=True,
        rules=Rules(to_end_offset=False),
    ),
    "init before the lease check": Bounds(
        hosts=ONE, kinds=frozenset({"end session"}), rules=Rules(lease_before_init=False)
    ),
    "barrier off": Bounds(
        hosts=(("insert a", "commit async"),), kinds=frozenset({"crash PostgreSQL"}), rules=Rules(barrier=False)
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_without_a_rule_a_schedule_breaks_the_promise(mutation: str) -> None:
    found = shortest_counterexample(MUTATIONS[mutation])

    assert found is not None
    print(f"\n{mutation}:\n{found}")  # noqa: T201  # pytest -s shows the schedule
