"""Where a shard goes on: what each choice names, what is refused, and what it publishes twice or never."""

from dataclasses import replace

import pytest

from relay.lease import Batch
from relay.resync.deciding import (
    Candidate,
    Choice,
    MirrorRow,
    Refused,
    Situation,
    Target,
    base,
    effects,
    floor,
    judge_record,
    progress_record,
    target,
)
from relay.window import BEGINNING, Position, Progress
from tests.unit.relay.fakes import INSTALLATION

MIRROR = MirrorRow(
    epoch=40, bootstrapped=True, confirmed_seq=3, snapshot="20:20:", last_id=None, a="10:10:", n=2, newest_seq=6
)
RECORD = Progress(
    install="i",
    gen=1,
    sysid=7,
    shard=0,
    epoch=50,
    seq=8,
    prev_seq=7,
    a="20:20:",
    b="30:30:",
    last_id=None,
    n=1,
    sha="s",
)
SEEN = Situation(0, INSTALLATION, MIRROR, (RECORD,), foreign=False, proven=None, proven_n=0, now="35:35:")


def targeted(choice: Choice, seen: Situation = SEEN) -> Target:
    found = target(seen, choice)
    assert isinstance(found, Target), found
    return found


@pytest.mark.parametrize(
    ("choice", "b"),
    [
        (Choice.TOPICS, "20:20:"),
        (Choice.POSTGRES, "20:20:"),
        (Choice.KAFKA, "30:30:"),
        (Choice.BEGINNING, "3:3:"),
        (Choice.NOW, "35:35:"),
    ],
)
def test_each_choice_has_its_snapshot_and_a_window_and_epoch_above_all_that_are_known(choice: Choice, b: str) -> None:
    found = targeted(choice)

    assert (found.position.b, found.position.seq, found.epoch_above) == (b, 9, 50)


@pytest.mark.parametrize("now", ["29:29:", "5:19:"])
def test_a_position_that_has_seen_transactions_that_are_yet_to_begin_is_refused(now: str) -> None:
    found = target(replace(SEEN, now=now), Choice.KAFKA)

    assert isinstance(found, Refused)
    assert "events that are yet to be inserted would count as published" in found.reason


@pytest.mark.parametrize(
    ("seen", "choice"),
    [
        (replace(SEEN, records=()), Choice.KAFKA),
        (replace(SEEN, foreign=True), Choice.KAFKA),
        (replace(SEEN, mirror=replace(MIRROR, snapshot=None)), Choice.POSTGRES),
        (replace(SEEN, mirror=replace(MIRROR, last_id=5, a=None)), Choice.POSTGRES),
    ],
)
def test_what_states_no_position_cannot_be_chosen(seen: Situation, choice: Choice) -> None:
    assert isinstance(target(seen, choice), Refused)


def test_the_base_is_the_newer_of_mirror_and_proven_record() -> None:
    older = replace(RECORD, seq=2)

    assert base(replace(SEEN, proven=RECORD, proven_n=4)) == (RECORD.position, 4)
    assert base(replace(SEEN, proven=older))[0].seq == 3
    assert base(replace(SEEN, mirror=replace(MIRROR, snapshot=None))) == (BEGINNING, 0)


def test_a_position_within_a_window_stays_within_it() -> None:
    within = replace(SEEN, mirror=replace(MIRROR, last_id=17))

    assert targeted(Choice.POSTGRES, within).position == Position(9, "10:10:", "20:20:", 17)
    assert targeted(Choice.POSTGRES, within).n == 2


def test_a_record_of_a_former_cluster_is_proven_by_its_barrier_alone() -> None:
    batch = Batch(a="20:20:", b="30:30:", epoch=50, n=1)

    assert judge_record(replace(RECORD, sysid=99, gen=4), installation=INSTALLATION, batch=batch, now="35:35:")
    assert not judge_record(RECORD, installation=INSTALLATION, batch=None, now="35:35:")
    assert not judge_record(RECORD, installation=INSTALLATION, batch=replace(batch, epoch=49), now="35:35:")
    assert not judge_record(replace(RECORD, install="other"), installation=INSTALLATION, batch=batch, now="35:35:")
    assert not judge_record(RECORD, installation=INSTALLATION, batch=batch, now="29:29:")


def test_a_chosen_position_is_recorded_without_a_predecessor_and_without_events() -> None:
    record = progress_record(INSTALLATION, 0, epoch=60, position=Position(9, "20:20:", "20:20:", None))

    assert (record.seq, record.prev_seq, record.n, record.epoch) == (9, 9, 0, 60)


def test_the_scan_begins_at_the_oldest_transaction_that_may_not_count_as_published() -> None:
    finished, within = Position(1, "4:9:4", "8:20:8", None), Position(1, "6:9:6", "12:20:12", 5)

    assert floor(finished, within) == 6
    assert floor(finished) == 8


def one(number: int, *, covered: bool) -> Candidate:
    return Candidate(number, f"e{number}", "t", f"2026-01-0{number}", covered)


CANDIDATES = [one(1, covered=True), one(2, covered=True), one(3, covered=False), one(4, covered=False)]


def test_what_is_published_twice_or_never_is_told_by_what_the_topics_hold() -> None:
    found = effects(Choice.KAFKA, CANDIDATES, {"e1", "e3"})

    assert (found.publish.count, found.twice.examples, found.lose.examples) == (2, ("e3",), ("e2",))
    assert found.left_out == ()


def test_from_the_topics_nothing_is_published_twice() -> None:
    found = effects(Choice.TOPICS, CANDIDATES[2:], {"e3"})

    assert (found.publish.examples, found.twice.count, found.left_out) == (("e4",), 0, (3,))
    assert (found.leave_out.first_id, found.leave_out.first_at) == (3, "2026-01-03")
