"""Protocol 5: a relay that is killed at any point of the publish path leaves the topics as if nothing had happened."""

import signal

import pytest

from devstack import providers
from tests.acceptance.relay.conftest import Insert
from tests.support.checker import check
from tests.support.relays import Relays

# Five events a page: the first window has three pages.
SMALL_PAGES = {"relay_page_rows": 5}
TAKEOVER = (
    "relay.lease.granted:1",
    "relay.epoch.raised:1",
    "relay.lease.checked:1",
    "relay.producer.initialised:1",
    "relay.position.read:1",
    "relay.bootstrap.committed:1",
    "relay.shard.bootstrapped:1",
    "relay.position.accepted:1",
)
# Of a transaction's events the first belongs to the bootstrap.
PUBLISHING = (
    "relay.snapshot.taken:1",
    "relay.window.found:1",
    "relay.page.read:1",
    "relay.transaction.begun:2",
    "relay.barrier.sent:2",
    "relay.page.produced:2",
    "relay.progress.produced:3",
    "relay.barrier.written:2",
    "relay.commit.started:2",
    "relay.commit.started:3",
    "relay.commit.answered:2",
    "relay.commit.answered:3",
    "relay.page.committed:2",
    "relay.mirror.written:1",
    "relay.window.finished:1",
)


@pytest.mark.parametrize("place", [*TAKEOVER, *PUBLISHING])
def test_a_relay_killed_anywhere_leaves_each_event_published_once(
    place: str, database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(13)

    killed = relays.start("drain", crash_at=place, settings=SMALL_PAGES)
    assert killed.wait() == -signal.SIGKILL, killed.output
    insert(4)
    relays.drain(settings=SMALL_PAGES)

    check(database, kafka.bootstrap)
