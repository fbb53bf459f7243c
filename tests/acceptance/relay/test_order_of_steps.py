"""The orders that the protocol rests on, as a relay tells of them."""

from tests.acceptance.conftest import Insert
from tests.support.relays import Relays


def test_taking_over_has_one_order(relays: Relays, insert: Insert) -> None:
    insert(1)
    relays.drain()

    drained = relays.drain()

    names = [event["event"] for event in drained.events()]
    assert names[: names.index("relay.position.accepted") + 1] == [
        "relay.session.opened",
        "relay.lease.granted",
        "relay.epoch.raised",
        "relay.lease.checked",
        "relay.producer.initialised",
        "relay.position.read",
        "relay.position.accepted",
    ]


def test_no_commit_begins_before_the_barrier_of_its_window_is_written(relays: Relays, insert: Insert) -> None:
    insert(12)

    drained = relays.drain(settings={"relay_page_rows": 4})

    told = ("relay.barrier.written", "relay.commit.started", "relay.page.committed", "relay.window.finished")
    names = [event["event"] for event in drained.events() if event["event"] in told]
    bootstrap = ["relay.barrier.written", "relay.commit.started", "relay.page.committed"]
    page = ["relay.commit.started", "relay.page.committed"]
    assert names == [*bootstrap, "relay.barrier.written", *page, *page, *page, "relay.window.finished"]


def test_the_next_page_is_read_while_the_commit_is_under_way(relays: Relays, insert: Insert) -> None:
    insert(12)

    drained = relays.drain(settings={"relay_page_rows": 4})

    names = [event["event"] for event in drained.events()]
    reads = [index for index, name in enumerate(names) if name == "relay.page.read"]
    committed = [index for index, name in enumerate(names) if name == "relay.page.committed"]
    assert reads[1] < committed[1], "the second page was read before the first was known to be committed"
