from dataclasses import replace

import pytest

from relay.lease import (
    Absent,
    Accepted,
    Batch,
    Installation,
    ServerFacts,
    Term,
    Unfit,
    judge_history,
    judge_position,
)
from relay.window import Position, Progress

INSTALLATION = Installation(install="i", gen=1, sysid=7, shards=1)
TERM = Term(shard=0, epoch=5, bootstrapped=True, pruned_seq=2, confirmed_seq=3)
RECORD = Progress(
    install="i", gen=1, sysid=7, shard=0, epoch=4, seq=3, prev_seq=2, a="3:5:", b="3:9:", last_id=None, n=1, sha="s"
)
BATCH = Batch(a="3:5:", b="3:9:", epoch=4, n=6)
FACTS = ServerFacts(version=180000, recovering=False, sysid=7, cache=1, backend_pid=1, connected_pid=1)


def judged(
    record: Progress | None = RECORD,
    *,
    foreign: bool = False,
    term: Term = TERM,
    batch: Batch | None = BATCH,
    now: str = "9:9:",
) -> Accepted | Absent | Unfit:
    return judge_position(record, foreign=foreign, installation=INSTALLATION, term=term, batch=batch, now=now)


def test_a_record_that_postgresql_can_prove_is_accepted_with_what_its_barrier_says() -> None:
    assert judged() == Accepted(Position(seq=3, a="3:5:", b="3:9:", last_id=None), n=6)


def test_a_term_that_took_up_a_window_and_died_has_left_its_epoch_on_the_barrier() -> None:
    assert isinstance(judged(replace(RECORD, last_id=8), batch=replace(BATCH, epoch=5)), Accepted)


def test_without_a_record_a_new_shard_begins() -> None:
    assert judged(None, term=replace(TERM, bootstrapped=False), batch=None) == Absent()


def test_a_bootstrap_that_was_cut_off_is_taken_up() -> None:
    first = replace(RECORD, seq=0, prev_seq=0)
    term = replace(TERM, bootstrapped=False, pruned_seq=0, confirmed_seq=0)

    assert isinstance(judged(first, term=term), Accepted)


@pytest.mark.parametrize(("last_id", "confirmed"), [(9, 9), (10, 9), (None, 9), (None, None)])
def test_a_record_as_far_in_its_window_as_is_confirmed_is_accepted(last_id: int | None, confirmed: int | None) -> None:
    assert isinstance(judged(replace(RECORD, last_id=last_id), term=replace(TERM, confirmed_last=confirmed)), Accepted)


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (judged(None, batch=None), "has no record, although shard 0 has published before"),
        (judged(foreign=True), "holds a record that no relay wrote"),
        (judged(replace(RECORD, install="j")), "got ('j', 1, 7, 0)"),
        (judged(replace(RECORD, gen=2)), "got ('i', 2, 7, 0)"),
        (judged(replace(RECORD, sysid=8)), "got ('i', 1, 8, 0)"),
        (judged(replace(RECORD, shard=1)), "got ('i', 1, 7, 1)"),
        (judged(replace(RECORD, epoch=6)), "of epoch 6, PostgreSQL is at 5"),
        (judged(replace(RECORD, seq=1)), "what precedes 2 is pruned"),
        (judged(replace(RECORD, seq=2)), "3 was confirmed: Kafka lost it"),
        (judged(replace(RECORD, last_id=8), term=replace(TERM, confirmed_last=9)), "up to id 8, id 9 was confirmed"),
        (judged(replace(RECORD, last_id=8), term=replace(TERM, confirmed_last=None)), "its end was confirmed: Kafka"),
        (judged(term=replace(TERM, bootstrapped=False)), "shard 0 was never bootstrapped"),
        (judged(batch=None), "outbox.batch has no row for window 3"),
        (judged(batch=replace(BATCH, a="3:4:")), "disagree on the snapshots of window 3"),
        (judged(batch=replace(BATCH, b="3:8:")), "disagree on the snapshots of window 3"),
        (judged(batch=replace(BATCH, epoch=3)), "published in epoch 4, and outbox.batch has it of epoch 3"),
        (judged(batch=replace(BATCH, epoch=5)), "published in epoch 4, and outbox.batch has it of epoch 5"),
        (judged(replace(RECORD, last_id=8), batch=replace(BATCH, epoch=3)), "outbox.batch has it of epoch 3"),
        (judged(now="8:8:"), "the position has seen transaction 9, PostgreSQL is at 8"),
    ],
)
def test_anything_else_stops_with_the_reason(verdict: Accepted | Absent | Unfit, reason: str) -> None:
    assert isinstance(verdict, Unfit)
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (replace(FACTS, recovering=True), "is a standby"),
        (replace(FACTS, sysid=8), "belongs to another cluster"),
        (replace(FACTS, cache=20), "to have cache 1, got 20"),
    ],
)
def test_a_server_with_another_history_is_not_read(facts: ServerFacts, reason: str) -> None:
    assert reason in (judge_history(facts, INSTALLATION) or "")


def test_a_copy_within_the_cluster_is_not_read_and_neither_is_it_taken_for_one_when_nobody_knows() -> None:
    known = replace(INSTALLATION, database=5)

    assert judge_history(replace(FACTS, database=5), known) is None
    assert "is a copy within its cluster" in (judge_history(replace(FACTS, database=6), known) or "")
    assert judge_history(replace(FACTS, database=6), INSTALLATION) is None


def test_our_own_primary_is_read() -> None:
    assert judge_history(FACTS, INSTALLATION) is None


def test_names_in_kafka_carry_installation_generation_and_shard() -> None:
    assert INSTALLATION.progress_topic == "outbox.i.progress"
    assert INSTALLATION.transactional_id(2) == "outbox.i.1.2"
