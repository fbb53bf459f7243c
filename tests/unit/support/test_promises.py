"""The checker can fail: a history that is well, and every way to break it."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

import pytest

from tests.support import promises
from tests.support.promises import Barrier, Event, Kind, Letter, Published, Rows, Violation

TOPIC = "outbox.event.user"
KEY = ("user", "k")


def event(number: int, tx: int, **changes: Any) -> Event:
    return replace(Event(number, tx, f"e{number}", KEY, TOPIC), **changes)


def record(offset: int, number: int, **changes: Any) -> Published:
    return replace(Published(TOPIC, 0, offset, "k", f"e{number}"), **changes)


def sha(ids: Sequence[int]) -> str:
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()


def page(seq: int, a: str, b: str, *, last: int | None, ids: Sequence[int], **changes: Any) -> dict[str, Any]:
    return {
        "install": "i", "gen": 1, "sysid": 7, "shard": 0, "epoch": 1, "seq": seq, "prev_seq": max(seq - 1, 0),
        "a": a, "b": b, "last_id": last, "n": len(ids), "sha": sha(ids), **changes,
    }  # fmt: skip


# Transactions 10 and 12 were seen by the first window, 11 ended later: its event comes in the second.
EVENTS = [event(1, 10), event(2, 12), event(3, 11), event(4, 14)]
PUBLISHED = [record(0, 1), record(2, 2), record(4, 3), record(5, 4)]
PROGRESS = [
    page(0, "3:3:", "3:3:", last=None, ids=()),
    page(1, "3:3:", "11:13:11", last=1, ids=(1,)),
    page(1, "3:3:", "11:13:11", last=None, ids=(2,)),
    page(2, "11:13:11", "15:15:", last=None, ids=(3, 4), epoch=2),
]
BARRIERS = {
    (0, 0): Barrier(0, 0, 1, "3:3:", "3:3:"),
    (0, 1): Barrier(0, 1, 1, "3:3:", "11:13:11"),
    (0, 2): Barrier(0, 2, 2, "11:13:11", "15:15:"),
}
ROWS = Rows(("i", 1, 7), 1, EVENTS, (), BARRIERS)


def all_of(
    rows: Rows = ROWS, published: Sequence[Published] = PUBLISHED, progress: Sequence[dict[str, Any]] = PROGRESS
) -> list[Violation]:
    return [
        *promises.exactly_once(rows, published, complete=True),
        *promises.in_place(rows, published),
        *promises.in_order(rows, published),
        *promises.redriven_once(rows),
        *promises.unbroken(rows, progress),
        *promises.pages(rows, progress),
    ]


def kinds(violations: Iterable[Violation]) -> set[StrEnum]:
    return {violation.kind for violation in violations}


def changed(number: int, **changes: Any) -> list[dict[str, Any]]:
    return [one | changes if place == number else one for place, one in enumerate(PROGRESS)]


def test_a_history_that_is_well_has_no_violation() -> None:
    assert all_of() == []


@pytest.mark.parametrize(
    ("published", "kind"),
    [
        ([one for one in PUBLISHED if one.event_id != "e3"], Kind.LOST),
        ([*PUBLISHED, record(6, 4)], Kind.DOUBLED),
        ([*PUBLISHED, record(6, 9)], Kind.MADE_UP),
        ([record(0, 2), record(1, 1), record(4, 3), record(5, 4)], Kind.DISORDERED),
        ([*PUBLISHED[:3], record(0, 4, partition=1)], Kind.DISORDERED),
        ([*PUBLISHED[:3], record(5, 4, topic="elsewhere")], Kind.MISPLACED),
        ([*PUBLISHED[:3], record(5, 4, key="other")], Kind.MISPLACED),
    ],
)
def test_records_that_break_a_promise_are_found(published: list[Published], kind: Kind) -> None:
    assert kinds(all_of(published=published)) == {kind}


@pytest.mark.parametrize(
    ("progress", "kind"),
    [
        (PROGRESS[1:], Kind.CHAIN),
        (PROGRESS[:3][:2] + PROGRESS[3:], Kind.CHAIN),
        ([PROGRESS[0], *PROGRESS[2:]], Kind.PAGE),
        ([*PROGRESS, PROGRESS[3]], Kind.CHAIN),
        (changed(3, prev_seq=0), Kind.CHAIN),
        (changed(3, install="other"), Kind.CHAIN),
        (changed(3, sha=sha((3,))), Kind.PAGE),
        (changed(3, n=3), Kind.PAGE),
        (changed(1, epoch=3), Kind.EPOCH),
        (changed(3, epoch=3), Kind.BARRIER),
        (changed(3, a="13:13:"), Kind.GAP),
    ],
)
def test_progress_that_breaks_a_promise_is_found(progress: list[dict[str, Any]], kind: Kind) -> None:
    assert kind in kinds(all_of(progress=progress))


def test_a_window_without_its_barrier_row_is_found() -> None:
    barriers = {place: barrier for place, barrier in BARRIERS.items() if place != (0, 2)}

    assert kinds(all_of(replace(ROWS, barriers=barriers))) == {Kind.BARRIER}


def test_a_finished_window_whose_barrier_is_of_a_later_term_is_found() -> None:
    finished = PROGRESS[-1]
    place = (finished["shard"], finished["seq"])
    later = replace(BARRIERS[place], epoch=finished["epoch"] + 1)

    assert kinds(all_of(replace(ROWS, barriers=BARRIERS | {place: later}))) == {Kind.BARRIER}


def test_an_event_that_is_published_and_a_dead_letter_is_found() -> None:
    rows = replace(ROWS, letters=[Letter(4, "e4")])

    assert Kind.DEAD_AND_PUBLISHED in kinds(all_of(rows))


def test_an_event_that_retention_deleted_unpublished_is_found() -> None:
    rows = replace(ROWS, events=[*EVENTS[:3], event(4, 14, deleted=True)])

    assert kinds(promises.exactly_once(rows, PUBLISHED[:3], complete=False)) == {Kind.PRUNED}


def test_what_is_missing_is_no_loss_while_more_may_come() -> None:
    assert list(promises.exactly_once(ROWS, PUBLISHED[:2], complete=False)) == []


REDRIVEN = Letter(1, "e1", "redriven", "e4")


@pytest.mark.parametrize(
    ("letters", "events"),
    [
        ([replace(REDRIVEN, redriven_as="e9")], EVENTS),
        ([REDRIVEN], [*EVENTS[:2], event(3, 11, redriven_from="e1"), event(4, 14, redriven_from="e1")]),
        ([], [*EVENTS[:3], event(4, 14, redriven_from="e1")]),
    ],
)
def test_a_redrive_that_is_lost_doubled_or_nobodys_is_found(letters: list[Letter], events: list[Event]) -> None:
    assert kinds(promises.redriven_once(replace(ROWS, letters=letters, events=events))) == {Kind.REDRIVEN}


def test_a_redriven_event_that_waits_for_the_relay_is_not_missed() -> None:
    letters = [Letter(1, "e1", "redriven", None, pending=True)]

    assert list(promises.redriven_once(replace(ROWS, letters=letters))) == []


def test_a_parked_key_keeps_the_order_of_emission_over_a_redrive() -> None:
    rows = replace(ROWS, events=[*EVENTS[:3], event(4, 14, redriven_from="e1")])
    published = [record(2, 2), record(4, 3), record(5, 4)]

    assert kinds(promises.in_order(rows, published, parked=True)) == {Kind.DISORDERED}
    assert list(promises.in_order(rows, published, parked=False)) == []


def test_keys_that_their_hosts_do_not_lock_have_no_order_to_break() -> None:
    published = [record(0, 2), record(1, 1)]

    assert list(promises.in_order(ROWS, published, unordered="k")) == []


def test_a_transaction_that_is_open_is_found() -> None:
    assert kinds(promises.closed({("t", 0): 4, ("t", 1): 9}, {("t", 0): 5, ("t", 1): 9})) == {Kind.OPEN}


CHOSEN = page(5, "11:13:11", "11:13:11", last=None, ids=(), epoch=9, prev_seq=5)
AFTER = page(6, "11:13:11", "15:15:", last=None, ids=(3,), epoch=10)
RESYNCED = replace(
    ROWS,
    letters=[Letter(4, "e4", "discarded", left_out=True)],
    barriers={
        **BARRIERS,
        (0, 5): Barrier(0, 5, 9, "11:13:11", "11:13:11"),
        (0, 6): Barrier(0, 6, 10, "11:13:11", "15:15:"),
    },
)


def test_a_chosen_position_begins_a_chain_of_its_own_whatever_was_before() -> None:
    assert all_of(RESYNCED, progress=[*changed(2, sysid=8, n=7), CHOSEN, AFTER]) == []


def test_what_a_resync_leaves_out_has_to_be_published_and_once() -> None:
    progress = [*PROGRESS, CHOSEN, AFTER]

    assert kinds(all_of(RESYNCED, PUBLISHED[:3], progress)) == {Kind.LOST}
    assert kinds(all_of(RESYNCED, [*PUBLISHED, record(9, 4)], progress)) == {Kind.DOUBLED}


def test_a_position_is_chosen_above_every_epoch_and_window_before_it() -> None:
    for low in ({"epoch": 2}, {"seq": 2, "prev_seq": 2}):
        assert Kind.EPOCH in kinds(all_of(RESYNCED, progress=[*PROGRESS, CHOSEN | low, AFTER]))
