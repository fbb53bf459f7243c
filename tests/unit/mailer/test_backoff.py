from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.backoff import Backoff
from mailer.meanings import Pace

WEEK = timedelta(days=7)
jitters = st.floats(0, 1, exclude_max=True)
attempts = st.integers(1, 10_000)


def pause(backoff: Backoff, attempt: int = 1, **more: object) -> timedelta | None:
    facts = {"pace": Pace.NORMAL, "hint": None, "left": WEEK, "jitter": 0.5, **more}
    return backoff.pause(attempt, **facts)  # type: ignore[arg-type] # the tests name what differs


def test_the_first_pauses_are_spread_under_thirty_seconds_then_a_minute_then_two() -> None:
    assert [Backoff().ceiling(attempt) for attempt in (1, 2, 3)] == [timedelta(seconds=n) for n in (30, 60, 120)]


def test_a_thousandth_attempt_waits_no_longer_than_the_cap() -> None:
    assert Backoff().ceiling(1000) == timedelta(hours=6)


def test_a_greylisted_recipient_is_left_alone_for_five_minutes() -> None:
    assert pause(Backoff(), pace=Pace.GREYLISTED, jitter=0.0) == timedelta(minutes=5)


def test_our_own_floors_do_not_exceed_the_cap() -> None:
    short = Backoff(timedelta(seconds=1), timedelta(seconds=2))

    assert pause(short, pace=Pace.HOURS, jitter=0.0) == timedelta(seconds=2)


def test_a_server_that_asks_for_longer_than_the_cap_gets_it() -> None:
    short = Backoff(timedelta(seconds=1), timedelta(seconds=2))

    assert pause(short, hint=timedelta(minutes=10), jitter=0.0) == timedelta(minutes=10)


def test_an_age_that_is_nearly_spent_ends_it() -> None:
    assert pause(Backoff(), left=timedelta(seconds=30)) is None
    assert pause(Backoff(), hint=timedelta(hours=2), left=timedelta(hours=1)) is None


@pytest.mark.parametrize(("base", "cap"), [(0, 1), (-1, 1), (2, 1)])
def test_a_backoff_that_cannot_spread_anything_is_refused(base: int, cap: int) -> None:
    with pytest.raises(ValueError, match="expected 0 < base <= cap"):
        Backoff(timedelta(seconds=base), timedelta(seconds=cap))


@given(attempts, jitters)
def test_a_pause_is_never_longer_than_its_ceiling(attempt: int, jitter: float) -> None:
    backoff = Backoff()

    found = pause(backoff, attempt, jitter=jitter)

    assert found is not None
    assert timedelta(0) <= found <= backoff.ceiling(attempt)


@given(
    attempts, jitters, st.sampled_from(Pace), st.none() | st.timedeltas(timedelta(0), WEEK), st.timedeltas(-WEEK, WEEK)
)
def test_a_pause_ends_before_the_delivery_expires_and_not_before_the_server_allows(
    attempt: int, jitter: float, pace: Pace, hint: timedelta | None, left: timedelta
) -> None:
    found = pause(Backoff(), attempt, jitter=jitter, pace=pace, hint=hint, left=left)

    if found is not None:
        assert max(hint or timedelta(0), timedelta(0)) <= found < left
