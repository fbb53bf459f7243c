"""What `outbox verify` ends with."""

from console.verify.facts import Doubt, Finding, Kind
from console.verify.outcome import Outcome
from console.verify.view import document

LOST = Finding(Kind.LOST, "lost")


def test_a_finding_outweighs_a_doubt() -> None:
    outcome = Outcome()
    outcome.hear([LOST, Doubt("cut off")])

    assert outcome.code == 1


def test_a_doubt_is_an_exit_code_of_its_own() -> None:
    outcome = Outcome()
    outcome.hear([Doubt("cut off")])

    assert (outcome.code, document(outcome)["verdict"]) == (4, "unjudged")


def test_a_doubt_about_what_was_judged_otherwise_is_none() -> None:
    outcome = Outcome()
    outcome.hear([Doubt("compacted", covered=True)])

    assert outcome.code == 0


def test_all_findings_are_counted_and_some_are_kept() -> None:
    outcome = Outcome(most=2)
    outcome.hear([LOST] * 5)

    assert (len(outcome.findings), outcome.found[Kind.LOST]) == (2, 5)
