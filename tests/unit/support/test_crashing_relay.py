"""The seam by which tests kill, pause or meet a relay: at the nth event of a name, once, and nowhere else."""

import pytest

from tests.support.crashing_relay import at


def test_it_happens_at_the_nth_event_of_the_name_and_only_there() -> None:
    happened: list[str] = []
    observe = at("relay.page.read:2", lambda: happened.append("it"))
    counts = []

    for event in ("relay.page.read", "relay.window.found", "relay.page.read", "relay.page.read"):
        observe(event, {})
        counts.append(len(happened))

    assert counts == [0, 0, 1, 1]


def test_a_place_that_no_relay_tells_of_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected one of .*, got 'relay\.page\.reed'"):
        at("relay.page.reed", lambda: None)
