"""Protocol 7's candidate, two producers that take turns: with its conditions in every small schedule, and without each.

No part of the product: the model says what would have to hold before it is.
"""

import pytest

from tests.model.bounds import Bounds
from tests.model.exploration import Exploration, shortest_counterexample
from tests.model.rules import Rules
from tests.model.scripts import Script

PAGES: tuple[Script, ...] = (("insert a", "insert b", "insert a", "commit"),)
TWO: tuple[Script, ...] = (("insert a", "commit"), ("insert b", "commit"))
EACH = ("kill", "end session", "crash PostgreSQL", "time out", "EndTxn")
TURNS = Rules(taking_turns=True)


def without(condition: str) -> Rules:
    return Rules(taking_turns=True, **{condition: False})


@pytest.mark.parametrize("kind", EACH)
def test_two_producers_that_take_turns_keep_the_promise(kind: str) -> None:
    bounds = Bounds(hosts=PAGES, faults=1, kinds=frozenset({kind}), rules=TURNS, slow_markers=True)

    assert Exploration(bounds).run().states > 200


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", EACH)
def test_two_producers_that_take_turns_keep_the_promise_with_two_transactions(kind: str) -> None:
    bounds = Bounds(hosts=TWO, faults=1, kinds=frozenset({kind}), rules=TURNS, slow_markers=True)

    assert Exploration(bounds).run().states > 5000


CONDITIONS = {
    "both_initialised_first": Bounds(
        hosts=PAGES, kinds=frozenset({"end session"}), rules=without("both_initialised_first")
    ),
    "clean_before_next_end": Bounds(hosts=PAGES, faults=0, rules=without("clean_before_next_end")),
    "unclean_renews_both": Bounds(hosts=PAGES, kinds=frozenset({"EndTxn"}), rules=without("unclean_renews_both")),
    "to_end_offset": Bounds(
        hosts=PAGES,
        faults=2,
        kinds=frozenset({"kill", "lose markers"}),
        rules=without("to_end_offset"),
        slow_markers=True,
    ),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_without_a_condition_a_schedule_breaks_the_promise(condition: str) -> None:
    found = shortest_counterexample(CONDITIONS[condition])

    assert found is not None
    print(f"\ntwo producers, without {condition}:\n{found}")  # noqa: T201  # pytest -s shows the schedule


def test_the_order_in_which_both_are_initialised_breaks_nothing() -> None:
    bounds = Bounds(hosts=PAGES, rules=without("fixed_order"), slow_markers=True)

    assert Exploration(bounds).run().states > 1000


HANGING = Bounds(hosts=PAGES, kinds=frozenset({"lose markers"}), rules=TURNS, slow_markers=True)


def test_a_transaction_that_hangs_stops_a_takeover_and_is_resolved_as_it_was_decided() -> None:
    assert Exploration(HANGING).run().states > 50


def test_a_transaction_that_hangs_and_is_aborted_by_a_guess_loses_a_committed_page() -> None:
    found = shortest_counterexample(
        Bounds(
            hosts=PAGES,
            kinds=frozenset({"lose markers"}),
            rules=TURNS,
            slow_markers=True,
            resolved_by_guess=True,
        )
    )

    assert found is not None
    assert "lost" in found.broken
    print(f"\ntwo producers, a hanging transaction aborted by a guess:\n{found}")  # noqa: T201  # pytest -s shows it
