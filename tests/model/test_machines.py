"""Hypothesis breaks everything around the product's own relay, call by call; and finds a rule that is switched off."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Protocol
from tests.model.promise import PromiseBrokenError
from tests.model.publishing import END_FAULTS
from tests.model.relay_model import RelayModel
from tests.model.rules import Rules

# The same examples in every run: what is red here is red everywhere.
SHORT = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    stateful_step_count=50,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(SHORT, derandomize=False, max_examples=2000, stateful_step_count=80, print_blob=True)
FINDING = settings(SHORT, max_examples=100, phases=(Phase.generate,))

# What has to have happened in a run that means anything.
EXPECTED = (
    *(
        "lock",
        "epoch",
        "check",
        "init",
        "read",
        "judge",
        "mark",
        "look",
        "mirror",
        "produce",
        "barrier",
        "end",
        "ahead",
    ),
    *("insert", "commit", "commit async", "rollback", "prepare", "commit prepared"),
    *("kill", "zombie", "crash", "time out", "late", "prune", *END_FAULTS),
)


def machine(**switched: bool) -> type[Protocol]:
    """Return the machine, with the modelled relay and some rules switched, or the product's own without any."""

    class Chosen(Protocol):
        """The machine with what was asked for."""

    Chosen.seen = Counter()
    if switched:
        Chosen.start, Chosen.kept = RelayModel, Rules(**switched)
    return Chosen


def test_whatever_happens_between_two_calls_the_promise_holds() -> None:
    chosen = machine()

    run_state_machine_as_test(chosen, settings=SHORT)

    assert [what for what in EXPECTED if not chosen.seen[what]] == []


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_whatever_happens_between_two_calls_the_promise_holds_for_long() -> None:
    run_state_machine_as_test(machine(), settings=LONG)


def test_a_rule_that_is_switched_off_is_found() -> None:
    with pytest.raises(PromiseBrokenError):
        run_state_machine_as_test(machine(from_xmax=False), settings=FINDING)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rule", ["barrier", "order_by_id"])
def test_a_rule_that_is_switched_off_is_found_in_long(rule: str) -> None:
    with pytest.raises(PromiseBrokenError):
        run_state_machine_as_test(machine(**{rule: False}), settings=settings(FINDING, max_examples=3000))
