from datetime import timedelta

from mailer.pacing import Limits

LIMITS = Limits({"slow": 0.5, "fast": 10}, line=timedelta(seconds=2))


def test_each_message_has_a_slot_of_its_own_behind_those_before_it() -> None:
    names = ["fast", "free", "slow", "fast", "fast"]

    starts = LIMITS.starts(names, {"fast": 1.0, "slow": 0.0})

    assert starts == [1.0, 0.0, 0.0, 1.1, 1.2]


def test_what_has_no_slot_does_not_start() -> None:
    assert LIMITS.starts(["slow", "free"], {}) == [None, 0.0]


def test_slots_last_as_long_as_the_rate_says() -> None:
    assert LIMITS.seconds(["fast", "fast", "free", "slow"]) == {"fast": 0.2, "slow": 2.0}


def test_a_window_is_no_longer_than_a_line_and_never_empty() -> None:
    assert LIMITS.fitting(["slow", "slow", "free", "free"]) == [True, False, True, True]
    assert LIMITS.fitting(["fast"] * 21).count(True) == 20


def test_what_found_no_slot_is_back_before_the_line_has_ended() -> None:
    assert LIMITS.pause(["fast"]) == timedelta(seconds=1)
    assert Limits({"rare": 0.01}).pause(["rare", "free"]) == timedelta(seconds=50)


def test_only_a_transport_with_a_limit_binds() -> None:
    assert LIMITS.bind(["free", "slow"])
    assert not LIMITS.bind(["free"])
