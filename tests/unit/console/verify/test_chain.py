"""What `outbox verify` says of progress records and their windows, fact by fact."""

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest

from console.verify.chain import Member, Missing, chained, contiguous, paged, recorded
from console.verify.facts import Doubt, Finding, Kind, Link, Note, Reach, Said

US = "installation i on cluster 1"
NOW = 1_000_000.0
REACH = Reach(read_from=0.0, pruned_before=NOW - 500, compacted_before=NOW - 100)


def sha(*ids: int) -> str:
    return hashlib.sha256(",".join(str(one) for one in ids).encode()).hexdigest()


def link(seq: int, **facts: Any) -> Link:
    a, b = f"{seq}:{seq}:", f"{seq + 1}:{seq + 1}:"
    usual: dict[str, Any] = {
        "offset": seq, "seq": seq, "prev_seq": max(seq - 1, 0), "epoch": 5, "a": a, "b": b, "last_id": None, "n": 0,
        "sha": sha(), "owner": US, "barrier_a": a, "barrier_b": b, "barrier_epoch": 5, "barrier_at": NOW,
    }  # fmt: skip
    return Link(**usual | facts)


def said(*links: Link) -> list[Said]:
    return list(chained(0, links, owner=US))


def kinds(found: Sequence[Said]) -> list[Kind]:
    return [one.kind for one in found if isinstance(one, Finding)]


def test_windows_one_after_the_other_are_well() -> None:
    assert said(link(0), link(1), link(2, last_id=7), link(2, last_id=9, offset=3), link(2, offset=4), link(3)) == []


@pytest.mark.parametrize(
    "links",
    [
        [link(1, owner="")],
        [link(1, owner="installation j on cluster 1")],
        [link(1, prev_seq=7)],
        [link(2), link(1)],
        [link(1, last_id=5), link(2)],
        [link(1), link(1)],
        [link(1, last_id=5), link(1, last_id=5)],
        [link(1, last_id=5), link(1, a="0:0:", barrier_a="0:0:")],
        [link(1, epoch=6, barrier_epoch=6), link(2)],
    ],
    ids=[
        "nobody's", "another's", "other predecessor", "back", "before the other ended", "twice", "same id",
        "other snapshot", "older epoch",
    ],
)  # fmt: skip
def test_a_break_in_the_chain_is_named(links: list[Link]) -> None:
    assert kinds(said(*links)) == [Kind.CHAIN]


@pytest.mark.parametrize(
    "wrong",
    [
        link(1, barrier_a="9:9:"),
        link(1, barrier_b="9:9:"),
        link(1, barrier_epoch=4),
        link(1, barrier_epoch=6),
        link(1, last_id=5, barrier_epoch=4),
    ],
)
def test_a_barrier_row_that_is_another_is_named(wrong: Link) -> None:
    assert kinds(said(wrong)) == [Kind.BARRIER]


def test_a_later_term_may_have_taken_up_a_window_that_is_not_finished() -> None:
    assert said(link(1, last_id=5, barrier_epoch=6)) == []


def test_a_position_that_an_operator_chose_is_no_break() -> None:
    (note,) = said(link(3), link(9, prev_seq=9, epoch=6, barrier_epoch=6))

    assert isinstance(note, Note)


def test_a_hole_in_the_barrier_rows_is_lost_history() -> None:
    assert kinds(list(contiguous(0, [1, 2, 5]))) == [Kind.BARRIER]
    assert list(contiguous(0, [1, 2, 3])) == []


def test_a_window_without_a_record_is_a_break_unless_compaction_may_have_taken_it() -> None:
    old, new = recorded(0, [Missing(1, NOW - 200), Missing(2, NOW)], REACH)

    assert isinstance(old, Doubt)
    assert old.covered
    assert kinds([new]) == [Kind.CHAIN]


# ------------------------------------------------------------------------------------------------------------ pages


def pages(links: Sequence[Link], *members: tuple[int, int]) -> list[Said]:
    return list(paged(0, links, [Member(*one) for one in members], REACH))


def test_pages_that_hold_their_rows_are_well() -> None:
    links = [link(1, last_id=2, n=2, sha=sha(1, 2)), link(1, n=1, sha=sha(3)), link(2, n=1, sha=sha(4))]

    assert pages(links, (1, 1), (1, 2), (1, 3), (2, 4)) == []


@pytest.mark.parametrize("members", [[(1, 1)], [(1, 1), (1, 2), (1, 3)], [(1, 1), (1, 9)]])
def test_another_count_or_other_ids_are_named(members: list[tuple[int, int]]) -> None:
    assert kinds(pages([link(1, n=2, sha=sha(1, 2))], *members)) == [Kind.PAGE]


def test_rows_that_retention_may_have_deleted_leave_a_page_unjudged() -> None:
    (doubt,) = pages([link(1, n=2, sha=sha(1, 2), barrier_at=NOW - 600)], (1, 1))

    assert isinstance(doubt, Doubt)
    assert not doubt.covered


def test_pages_behind_a_record_that_compaction_took_are_not_judged() -> None:
    (doubt,) = pages([link(1, n=1, sha=sha(3), barrier_at=NOW - 200)], (1, 1), (1, 2), (1, 3))

    assert isinstance(doubt, Doubt)
    assert doubt.covered


# ------------------------------------------------------------------------------------------- a position chosen anew


def test_windows_before_a_position_that_was_chosen_anew_may_have_lost_their_records() -> None:
    before, after = recorded(0, [Missing(1, NOW), Missing(5, NOW)], REACH, chosen=3)

    assert isinstance(before, Doubt)
    assert before.covered
    assert kinds([after]) == [Kind.CHAIN]


def test_a_chosen_position_publishes_no_page() -> None:
    assert pages([link(3, prev_seq=3)], (3, 1)) == []


@pytest.mark.parametrize("published", [sha(1, 2), sha(2)])
def test_what_was_published_already_may_be_of_this_page_or_of_another_history(published: str) -> None:
    n = 2 if published == sha(1, 2) else 1
    members = [Member(1, 1, 1), Member(1, 2)]

    assert list(paged(0, [link(1, n=n, sha=published)], members, REACH)) == []
