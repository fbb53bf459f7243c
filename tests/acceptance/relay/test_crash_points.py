"""Protocol 5: a relay that is killed at any point of the publish path leaves the topics as if nothing had happened."""

import signal

import pytest

from devstack import providers
from tests.acceptance.relay.conftest import Insert
from tests.support.checker import check
from tests.support.relays import Relays

# Five events a page: the first window has three pages.
SMALL_PAGES = {"relay_page_rows": 5}
# Each row is one database: relays are killed at each place in turn, then a fresh one drains and all is checked.
# A place that a relay meets only while it bootstraps stands first. The second transaction is in the middle of a window.
CHAINS = (
    ("relay.bootstrap.committed:1", "relay.snapshot.taken:1", "relay.page.read:1", "relay.barrier.sent:1"),
    ("relay.shard.bootstrapped:1", "relay.transaction.begun:1", "relay.page.produced:2", "relay.progress.produced:2"),
    ("relay.transaction.begun:1", "relay.lease.granted:1", "relay.barrier.written:1", "relay.commit.started:1"),
    ("relay.barrier.written:1", "relay.epoch.raised:1", "relay.commit.started:2", "relay.commit.answered:1"),
    ("relay.commit.answered:1", "relay.lease.checked:1", "relay.commit.answered:2", "relay.page.committed:2"),
    ("relay.producer.initialised:1", "relay.position.read:1", "relay.mirror.written:1", "relay.window.finished:1"),
    ("relay.position.accepted:1", "relay.window.found:1", "relay.page.committed:1", "relay.page.read:2"),
)


@pytest.mark.parametrize("places", CHAINS, ids=lambda places: places[0])
def test_relays_killed_anywhere_leave_each_event_published_once(
    places: tuple[str, ...], database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    for place in places:
        insert(13)
        killed = relays.start("drain", crash_at=place, settings=SMALL_PAGES)
        assert killed.wait() == -signal.SIGKILL, killed.output

    relays.drain(settings=SMALL_PAGES)

    check(database, kafka.bootstrap)
