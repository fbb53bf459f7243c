import json

import pytest

from outbox.envelope import StoredEvent
from relay.window import ORIGIN, Page, Position, Progress, Row, Window, decode_progress, digest, xmax

PROGRESS = Progress(
    install="i", gen=1, sysid=2, shard=0, epoch=3, seq=4, prev_seq=3, a="3:3:", b="3:9:5", last_id=7, n=2, sha="s"
)
WINDOW = Window(seq=4, a="3:3:", b="3:9:5", lo=0, olds=(), n=3)


def rows(*ids: int) -> tuple[Row, ...]:
    event = StoredEvent("e", "t", "k", "happened", "{}", None, None, "")
    return tuple(Row(number, event) for number in ids)


def test_a_progress_record_is_read_back_as_it_was_written() -> None:
    assert decode_progress(PROGRESS.encode()) == PROGRESS
    assert PROGRESS.key == b"i/1/0"
    assert PROGRESS.position == Position(seq=4, a="3:3:", b="3:9:5", last_id=7)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"hello",
        b"[]",
        b"{}",
        PROGRESS.encode().replace(b'"v":1', b'"v":2'),
        PROGRESS.encode().replace(b'"seq":4', b'"seq":"4"'),
        PROGRESS.encode().replace(b'"seq":4', b'"seq":9223372036854775808'),
        b"[" * 100_000,
        PROGRESS.encode().replace(b'"a":"3:3:"', b'"a":null'),
        PROGRESS.encode().replace(b'"last_id":7', b'"last_id":"x"'),
        json.dumps({**json.loads(PROGRESS.encode()), "extra": 1}).encode(),
    ],
)
def test_anything_else_is_no_progress_record(value: bytes | None) -> None:
    assert decode_progress(value) is None


def test_a_position_is_finished_when_it_names_no_last_id() -> None:
    assert Position(seq=1, a=ORIGIN, b="3:9:", last_id=None).finished
    assert not Position(seq=1, a=ORIGIN, b="3:9:", last_id=4).finished


def test_the_position_behind_a_part_of_a_page_names_the_parts_last_row() -> None:
    page = Page(WINDOW, rows(5, 6, 8), end=None)

    assert page.position_after(2) == Position(seq=4, a="3:3:", b="3:9:5", last_id=6)
    assert page.position_after(3).finished


def test_the_position_behind_a_page_within_a_window_names_the_pages_end_even_if_rows_were_held_back() -> None:
    page = Page(WINDOW, rows(5, 6), end=8)

    assert page.position_after(2).last_id == 8
    assert page.without(2).exhausted
    assert page.without(2).position_after(0).last_id == 8


def test_the_digest_is_over_ids_in_decimal_with_commas() -> None:
    # printf '5,6,8' | sha256sum
    assert digest([5, 6, 8]) == "441963c3e1cd09a08601de2bb4d2f2cd430c2014e7c9838396c55f1bdea9ff20"


def test_xmax_is_the_first_transaction_that_had_not_begun() -> None:
    assert xmax("700:712:700,704") == 712
