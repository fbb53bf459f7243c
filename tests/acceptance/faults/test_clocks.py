"""Clocks of the relay that jump while it publishes: shared time is the database's, ours only makes us stop sooner."""

import signal

import pytest

from tests.acceptance.conftest import Verify, Writing
from tests.support.relays import Relays

HOUR, YEAR = 3600, 365 * 86_400
SMALL_PAGES = {"relay_page_rows": 50}
JUMPS = {
    "an hour on": {"wall": HOUR, "monotonic": HOUR},
    "an hour back": {"wall": -HOUR, "monotonic": 0},
    "a year on": {"wall": YEAR, "monotonic": YEAR},
    "a year back": {"wall": -YEAR, "monotonic": 0},
    "the wall clock alone, an hour on": {"wall": HOUR, "monotonic": 0},
}
TIMES = 3


@pytest.mark.parametrize(
    "name",
    [
        "an hour back",
        "a year on",
        *(pytest.param(n, marks=pytest.mark.chaos) for n in list(JUMPS) if n not in ("an hour back", "a year on")),
    ],
)
def test_a_relay_whose_clocks_jump_goes_on(name: str, relays: Relays, hosts: Writing, verify: Verify) -> None:
    """A monotonic clock that goes back is none, so nobody tries that."""
    jumps = " ".join(f"{clock}={seconds}" for clock, seconds in JUMPS[name].items())
    with hosts():
        relay = relays.start("run", settings={**SMALL_PAGES, "test_jumps": jumps}, module="tests.support.jumping_relay")
        relay.wait_for("relay.page.committed", count=5, timeout_seconds=40)
        before = relay.events()[-1]["at"]
        for _ in range(TIMES):
            pages = len(relay.events("relay.page.committed"))
            relay.send(signal.SIGUSR1)
            relay.wait_for("relay.page.committed", count=pages + 10, timeout_seconds=40)
        after = relay.events()[-1]["at"]
        relay.send(signal.SIGTERM)
        assert relay.wait() == 0, relay.output

    assert abs(after - before - TIMES * JUMPS[name]["wall"]) < HOUR / 2, "its clock has not jumped"
    verify()
