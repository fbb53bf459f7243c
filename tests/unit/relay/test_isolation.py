"""Rule 8: only what fails alone, and twice, is given up."""

from typing import Any, cast

from relay.errors import RecordRefusedError
from relay.isolation import Isolation
from relay.machine import Slice
from relay.window import Page
from tests.unit.relay.fakes import TERM, FakeSession, emit, rows, window

PAGE = Page(window(4), rows(5, 6, 8), None)
TOO_LARGE = {6: RecordRefusedError(10, "too large")}


def isolating() -> Isolation:
    return Isolation(cast("Any", FakeSession()), TERM, parked={}, policies=cast("Any", None), emit=emit)


def test_what_failed_among_others_has_no_strike() -> None:
    isolation = isolating()
    for _ in range(3):
        isolation.suspect(Slice(PAGE.rows, alone=False), TOO_LARGE)

    isolation.clear(PAGE.rows[:1])
    alone = isolation.next_slice(PAGE.without(1))

    assert alone == Slice(rows(6), alone=True)
    assert not isolation.guilty(alone)
    assert not isolation.guilty(Slice(rows(5), alone=True))


def test_what_failed_alone_twice_is_guilty() -> None:
    isolation = isolating()
    alone = Slice(rows(6), alone=True)
    isolation.suspect(Slice(PAGE.rows, alone=False), TOO_LARGE)

    isolation.suspect(alone, TOO_LARGE)
    assert not isolation.guilty(alone)

    isolation.suspect(alone, TOO_LARGE)
    assert isolation.guilty(alone)
