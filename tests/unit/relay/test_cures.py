"""Every reason to stop names what resolves it: a command with its choice, or the change that is needed first."""

from dataclasses import replace

import pytest

from relay.errors import HaltedError, cure
from relay.lease import ServerFacts, judge_history
from tests.unit.relay.fakes import FACTS, INSTALLATION

RESYNC = "outbox relay resync 2 --from topics --reason …"


@pytest.mark.parametrize(
    "reason",
    [
        "outbox.i.progress is gone, and this installation has published before",
        "outbox.i.progress holds a record that no relay wrote",
        "outbox.batch has no row for window 3, which Kafka has committed: PostgreSQL lost history",
        "the last progress record is of window 3, 7 was confirmed: Kafka lost it",
    ],
)
def test_a_position_that_does_not_fit_is_resolved_by_the_choice_that_is_exact(reason: str) -> None:
    assert cure(2, reason) == RESYNC
    assert f"resolve: {RESYNC}, see docs/operations.md" in HaltedError(2, reason).noted


def test_what_concerns_every_shard_is_resolved_for_every_shard() -> None:
    assert cure(-1, "outbox.i.progress is gone") == "outbox relay resync --all --from topics --reason …"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (replace(FACTS, recovering=True), "the address of the primary"),
        (replace(FACTS, sysid=8), "--same-install"),
        (replace(FACTS, database=8), "--new-install"),
        (replace(FACTS, cache=20), "alter table outbox.event alter id set cache 1"),
    ],
)
def test_a_server_that_may_not_be_read_from_is_resolved_by_what_is_wrong_with_it(facts: ServerFacts, said: str) -> None:
    reason = judge_history(facts, replace(INSTALLATION, database=0))

    assert reason is not None
    assert said in cure(0, reason)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "expected cleanup.policy of t to be compact, got delete: retention deletes positions",
            "cleanup.policy=compact",
        ),
        ("t has 1 partitions for 3 shards", "a partition for each shard"),
        ("outbox.meta changed: expected a, got b; start again", "start the relay again"),
        ("offset 9 of t/0 was not reached in 2 s: an open transaction hides the position", "outbox relay hanging"),
    ],
)
def test_what_no_other_position_can_help_names_what_does(reason: str, said: str) -> None:
    assert said in cure(0, reason)
