"""What a window is not: what committed after its snapshot, what was read before, and what is published already."""

import pytest

from relay.feed import Feed
from relay.leases import DeadLetter, Session
from relay.source import Source
from relay.window import BEGINNING, ORIGIN, Page, Position
from tests.integration.relay.conftest import Connect, insert, outlive

pytestmark = pytest.mark.versions


@pytest.fixture
def source(session: Session) -> Source:
    """Reads pages of at most two events."""
    return Source(session.connection, shard=0, shards=1, rows=2, page_bytes=1_000_000)


def emit(event: str, **facts: object) -> None:
    """Tell nobody."""


def keys(page: Page | None) -> list[str]:
    return [row.event.aggregate_id for row in page.rows] if page is not None else []


def between(source: Source, a: str, b: str) -> list[str]:
    """Return the keys of the first page between two snapshots."""
    window = source.find(seq=1, a=a, b=b)
    return keys(source.page(window, after=0)) if window is not None else []


def publish(feed: Feed, page: Page | None) -> Position:
    """Move on behind *page*, as after a clean commit."""
    assert page is not None
    after = page.position_after(len(page.rows))
    feed.advance(page, len(page.rows), after)
    return after


def test_what_commits_between_the_snapshot_and_the_page_is_in_the_next_window(source: Source, connect: Connect) -> None:
    old, young, quick = connect(), connect(), connect()
    insert(old, "old")
    outlive(connect)
    a = source.snapshot()
    insert(young, "young")
    insert(quick, "quick")
    quick.commit()
    b = source.snapshot()

    old.commit()
    young.commit()

    assert between(source, a, b) == ["quick"]
    assert between(source, b, source.snapshot()) == ["old", "young"]


def test_a_long_transaction_makes_no_window_of_what_was_read(source: Source, connect: Connect) -> None:
    """Rule 10: or each look would read everything since that transaction began."""
    slow, host = connect(), connect()
    insert(slow, "slow")
    insert(host, "read")
    host.commit()
    a = source.snapshot()
    outlive(connect)

    assert source.find(seq=2, a=a, b=source.snapshot()) is None


def test_the_next_window_begins_where_the_last_one_ended(source: Source, connect: Connect) -> None:
    host = connect()
    insert(host, "1", "2")
    host.commit()
    feed = Feed(source, BEGINNING, n=0, emit=emit)
    first = feed.find()
    after = publish(feed, first)
    insert(host, "3")
    host.commit()

    again = Feed(source, after, n=2, emit=emit)

    assert (keys(first), keys(feed.find()), keys(again.find())) == (["1", "2"], ["3"], ["3"])
    assert after.finished


def test_a_window_that_is_not_finished_goes_on_behind_its_position(source: Source, connect: Connect) -> None:
    host = connect()
    insert(host, "1", "2", "3")
    host.commit()
    feed = Feed(source, BEGINNING, n=0, emit=emit)
    after = publish(feed, feed.find())
    insert(host, "4")
    host.commit()
    assert not after.finished

    resumed = Feed(source, after, n=3, emit=emit)

    assert not resumed.between_windows
    assert keys(resumed.page()) == ["3"]
    publish(resumed, resumed.page())
    assert resumed.page() is None
    assert keys(resumed.find()) == ["4"]


def test_a_dead_letter_of_an_old_transaction_is_left_out(session: Session, source: Source, connect: Connect) -> None:
    old = connect()
    insert(old, "sick", "well")
    outlive(connect)
    a = source.snapshot()
    old.commit()
    window = source.find(seq=1, a=a, b=source.snapshot())
    assert window is not None
    sick = source.page(window, after=0).rows[0]
    term = session.raise_epoch(0, shards=1)

    session.write_dead_letters(term, [DeadLetter(sick, "t")], reason="r", detail="d", parks=False, attempts=1)

    assert keys(source.page(window, after=0)) == ["well"]
    assert between(source, ORIGIN, source.snapshot()) == ["well"]
