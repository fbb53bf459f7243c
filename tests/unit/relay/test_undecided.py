"""How a hanging transaction ended: only what is proven counts, and everything else is left undecided."""

from dataclasses import replace

import pytest

from relay.answers import Known, OpenTransaction
from relay.lease import Batch
from relay.undecided import Diagnosis, Entry, HangingTransaction, Mirror, Outcome, Status, Witnesses, judge, judge_log
from relay.window import Progress

FOUND = OpenTransaction(
    "progress", 0, producer_id=7, producer_epoch=2, start_offset=40, last_ms=0, coordinator_epoch=0, last_sequence=1
)
RECORD = Progress(
    install="i", gen=1, sysid=7, shard=0, epoch=4, seq=3, prev_seq=2, a="3:5:", b="3:9:", last_id=21, n=1, sha="s"
)
BATCH = Batch("3:5:", "3:9:", epoch=4, n=1)
BEHIND = Mirror(bootstrapped=True, seq=2, last_id=None)
EMPTY, ONGOING, COMMIT, ABORT = Status.EMPTY, Status.ONGOING, Status.PREPARE_COMMIT, Status.PREPARE_ABORT


def log(*entries: tuple[int, Status], producer_id: int = 7) -> tuple[Entry, ...]:
    return tuple(Entry(producer_id, epoch, status) for epoch, status in entries)


def committed(count: int, epoch: int = 2) -> tuple[tuple[int, Status], ...]:
    return ((epoch, ONGOING), (epoch, ONGOING), (epoch, COMMIT), (epoch, Status.COMPLETE_COMMIT)) * count


BEGUN = ((2, EMPTY),)
FENCED = ((2, ONGOING), (3, ABORT), (3, Status.COMPLETE_ABORT), (4, EMPTY))


@pytest.mark.parametrize(
    ("seq", "last_id", "reached"),
    [(4, 1, True), (3, None, True), (3, 21, True), (3, 20, False), (2, None, False)],
)
def test_the_mirror_proves_what_it_has_passed(seq: int, last_id: int | None, *, reached: bool) -> None:
    assert Mirror(bootstrapped=True, seq=seq, last_id=last_id).reaches(RECORD) is reached


def test_the_mirror_in_the_middle_of_a_window_does_not_prove_its_end() -> None:
    assert not Mirror(bootstrapped=True, seq=3, last_id=99).reaches(replace(RECORD, last_id=None))


def test_the_mirror_of_a_shard_that_never_published_proves_nothing() -> None:
    assert not Mirror(bootstrapped=False, seq=0, last_id=None).reaches(replace(RECORD, seq=0, last_id=None))


def test_what_the_mirror_confirms_was_committed() -> None:
    mirror = Mirror(bootstrapped=True, seq=3, last_id=21)

    assert judge(FOUND, Witnesses((RECORD,), BATCH, mirror, ()))[0] is Outcome.COMMITTED


@pytest.mark.parametrize(
    "batch", [None, replace(BATCH, b="3:8:"), replace(BATCH, epoch=3)], ids=["none", "other snapshots", "older"]
)
def test_a_mirror_of_another_history_proves_nothing(batch: Batch | None) -> None:
    mirror = Mirror(bootstrapped=True, seq=3, last_id=21)

    assert judge(FOUND, Witnesses((RECORD,), batch, mirror, ()))[0] is None


@pytest.mark.parametrize("records", [(), (None,), (RECORD, None)], ids=["none", "foreign", "foreign behind ours"])
def test_records_that_are_not_ours_are_not_judged(records: tuple[Progress | None, ...]) -> None:
    everything = Mirror(bootstrapped=True, seq=9, last_id=None)

    assert judge(FOUND, Witnesses(records, BATCH, everything, log(*BEGUN, *committed(2))))[0] is None


def test_the_log_decides_what_the_mirror_does_not_reach() -> None:
    assert judge(FOUND, Witnesses((RECORD,), BATCH, BEHIND, log(*BEGUN, *committed(2))))[0] is Outcome.COMMITTED
    assert judge(FOUND, Witnesses((RECORD,), BATCH, BEHIND, log(*BEGUN, *committed(1), *FENCED)))[0] is Outcome.ABORTED


def test_all_of_an_epoch_committed_is_committed_also_when_the_beginning_is_gone() -> None:
    assert judge_log(FOUND, 1, log(*committed(1)))[0] is Outcome.COMMITTED


def test_what_a_later_transaction_followed_was_committed_although_that_one_was_aborted() -> None:
    assert judge_log(FOUND, 1, log(*BEGUN, *committed(2), *FENCED))[0] is Outcome.COMMITTED


def test_an_abort_of_its_own_epoch_is_an_abort_too() -> None:
    assert judge_log(FOUND, 1, log(*BEGUN, *committed(1), (2, ONGOING), (2, ABORT)))[0] is Outcome.ABORTED


@pytest.mark.parametrize(
    ("records", "entries"),
    [
        (1, ()),
        (1, log(*BEGUN)),
        (1, log(*BEGUN, *committed(1), (2, ONGOING))),
        (1, log(*BEGUN, (2, ONGOING), (2, ABORT), *committed(1))),
        (1, log(*BEGUN, *committed(1))),
        (1, log(*committed(1), *FENCED)),
        (2, log(*BEGUN, *committed(1), *FENCED)),
        (0, log(*BEGUN, *committed(1), *FENCED)),
        (1, log(*BEGUN, *committed(2), producer_id=8)),
        (1, log((1, EMPTY), *committed(2, epoch=1))),
    ],
    ids=[
        "no log",
        "no transaction",
        "one that is under way",
        "one behind an abort",
        "more records than transactions",
        "an abort, and no beginning to count from",
        "records of two, of which the last was aborted",
        "records that cannot be counted, and an abort",
        "another producer's",
        "another epoch's",
    ],
)
def test_everything_else_is_not_decided(records: int, entries: tuple[Entry, ...]) -> None:
    assert judge_log(FOUND, records, entries)[0] is None


@pytest.mark.parametrize(
    ("state", "producer_id", "partitions", "carried"),
    [
        ("Ongoing", 7, {("progress", 0)}, True),
        ("PrepareCommit", 7, {("progress", 0)}, True),
        ("PrepareCommit", 7, {("progress", 1)}, False),
        ("CompleteCommit", 7, {("progress", 0)}, False),
        ("Ongoing", 8, {("progress", 0)}, False),
    ],
)
def test_a_transaction_that_its_coordinator_will_end_does_not_hang(
    state: str, producer_id: int, partitions: set[tuple[str, int]], *, carried: bool
) -> None:
    assert Known("id", state, producer_id, 2, frozenset(partitions)).carries(FOUND) is carried


def test_a_diagnosis_names_partition_producer_epoch_offset_and_the_command() -> None:
    hanging = HangingTransaction(FOUND, Known("outbox.i.1.0", "CompleteCommit", 7, 2, frozenset()))

    assert str(Diagnosis(0, (hanging,), Outcome.COMMITTED, "outbox.shard confirms it")) == (
        "a transaction of producer id 7, epoch 2 hangs on progress/0 from offset 40 on; its coordinator has "
        "outbox.i.1.0 as CompleteCommit; it was committed: outbox.shard confirms it; to end it so: "
        "outbox relay hanging --end"
    )


def test_a_diagnosis_without_proof_says_so_and_names_no_command() -> None:
    said = str(Diagnosis(0, (HangingTransaction(FOUND, None),), None, "the log may not be read"))

    assert said.endswith(
        "no coordinator knows its producer; whether it was committed is not proven: the log may not be read"
    )
