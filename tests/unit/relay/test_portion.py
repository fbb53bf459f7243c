import pytest

from outbox.envelope import StoredEvent
from relay.machine import Slice
from relay.portion import WHOLE, Portion
from relay.window import Row


def rows(count: int) -> tuple[Row, ...]:
    event = StoredEvent("e", "t", "k", "happened", "{}", None, None, "")
    return tuple(Row(number, event) for number in range(1, count + 1))


def test_a_page_goes_whole_until_one_took_too_long() -> None:
    piece = Slice(rows(5), alone=False)

    assert Portion().of(piece) is piece


def test_half_of_what_took_too_long_is_tried_next_and_keeps_the_order() -> None:
    portion = Portion().halved(5)

    assert [row.id for row in portion.of(Slice(rows(5), alone=False)).rows] == [1, 2]


def test_a_suspect_stays_alone() -> None:
    suspect = Slice(rows(1), alone=True)

    assert Portion(1).of(suspect) == suspect


def test_ten_failures_lead_from_two_thousand_rows_to_one_that_is_waited_for() -> None:
    portion, tried = Portion(), 2000
    sizes = []
    while not portion.patient:
        portion = portion.halved(tried)
        tried = portion.rows
        sizes.append(tried)

    assert sizes == [1000, 500, 250, 125, 62, 31, 15, 7, 3, 1]


def test_a_row_that_was_slow_by_itself_is_waited_for_and_cannot_be_halved_again() -> None:
    portion = Portion().halved(1)

    assert portion.patient
    assert portion.halved(1) == portion


def test_a_transaction_without_rows_says_nothing_about_their_number() -> None:
    assert Portion().halved(0) == Portion()


@pytest.mark.parametrize(
    ("count", "seconds", "expected"),
    [
        (8, 0.1, 16),
        (8, 1.25, 16),
        (8, 1.26, 8),  # twice of it could take too long
        (7, 0.1, 8),  # it was the end of a page, and says nothing about more rows
    ],
)
def test_a_full_portion_that_was_quick_doubles_the_next(count: int, seconds: float, expected: int) -> None:
    assert Portion(8).grown(count, seconds=seconds) == Portion(expected)


def test_a_broker_that_is_quick_again_gets_whole_pages_after_seventeen_transactions() -> None:
    portion = Portion(1)
    transactions = 0
    while portion != Portion():
        portion = portion.grown(portion.rows, seconds=0.01)
        transactions += 1

    assert transactions == 17


def test_nothing_grows_beyond_a_page() -> None:
    assert Portion().grown(WHOLE, seconds=0.01) == Portion()
