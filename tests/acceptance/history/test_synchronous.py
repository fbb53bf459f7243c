"""A synchronous standby takes over: what was acknowledged is published, what was not is never lost and published."""

import contextlib
from collections.abc import Iterator
from threading import Thread

import psycopg
import pytest

from devstack import providers
from tests.acceptance.history.conftest import Site, end, published, wait_published
from tests.support.checker import check
from tests.support.relays import Relays
from tests.support.replication import STANDBY, ask, order
from tests.support.waiting import wait_until

EVENTS = 10_000
AT_ONCE = 100
_WAITING = "from pg_stat_activity where wait_event = 'SyncRep' and pid <> pg_backend_pid()"
_INSERT = """
insert into outbox.event (aggregate_type, aggregate_id, type, payload)
select %s, n::text, 'thing.happened', '{}' from generate_series(1, %s) as n returning event_id::text
"""


@pytest.fixture
def synchronous(site: Site) -> Iterator[Site]:
    """A site whose commits wait for the standby."""
    order(site.dsn, f"alter system set synchronous_standby_names = '{STANDBY}'", "select pg_reload_conf()")
    state = "select count(*) = 1 from pg_stat_replication where sync_state = 'sync'"
    wait_until(lambda: ask(site.dsn, state), timeout_seconds=60, what="the standby to be synchronous")
    yield site
    # On whichever is the primary now: nothing may wait for a standby that the test has cut off.
    order(site.pair.dsn, "alter system reset synchronous_standby_names", "select pg_reload_conf()")


class Host:
    """Writes until its server is gone; `acknowledged` are the ids of events whose commit came back without a word."""

    def __init__(self, site: Site, *, transactions: int) -> None:
        """Begin."""
        self.acknowledged: list[str] = []
        self.warned: list[str] = []
        self._site = site
        self._transactions = transactions
        self._thread = Thread(target=self._write, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _write(self) -> None:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self._site.dsn) as connection:
            connection.add_notice_handler(lambda notice: self.warned.append(notice.message_primary or ""))
            for _ in range(self._transactions):
                ids = [row[0] for row in connection.execute(_INSERT, (self._site.kind, AT_ONCE))]
                connection.commit()
                if not self.warned:
                    self.acknowledged += ids


@pytest.mark.chaos
def test_every_event_whose_commit_was_acknowledged_is_published_after_the_failover(
    synchronous: Site, kafka: providers.Kafka, relays: Relays
) -> None:
    site, relay = synchronous, relays.start("run")
    host = Host(site, transactions=100_000)
    wait_until(lambda: len(host.acknowledged) >= EVENTS, timeout_seconds=180, what=f"{EVENTS} events")
    wait_published(relay, 1)

    site.pair.fail_over()
    host.join()
    site.insert(1)
    before = len(relay.events("relay.shard.recovered"))
    relay.wait_for("relay.shard.recovered", count=before + 1, timeout_seconds=90)
    end(relay)
    relays.drain()

    seen = check(site.dsn, kafka.bootstrap)
    ids = {record.event_id for record in seen.published}
    assert len(host.acknowledged) >= EVENTS
    assert set(host.acknowledged) <= ids


@pytest.mark.chaos
def test_an_event_whose_wait_for_the_standby_was_cancelled_is_not_published_and_then_lost(
    synchronous: Site, kafka: providers.Kafka, relays: Relays
) -> None:
    site, relay = synchronous, relays.start("run")
    site.insert(2)
    wait_published(relay, 2)
    site.pair.catch_up()
    site.pair.follower.cut()
    host = Host(site, transactions=1)

    def cancelled() -> bool:
        ask(site.dsn, f"select count(pg_cancel_backend(pid)) {_WAITING}")
        return bool(relay.events("relay.renewal.failed"))

    wait_until(cancelled, timeout_seconds=60, what="the relay's barrier to be cancelled too")
    host.join()
    assert host.acknowledged == []
    assert "canceling wait for synchronous replication" in relay.output
    assert ask(site.dsn, "select count(*) from outbox.event") == 2 + AT_ONCE

    site.pair.fail_over()
    site.insert(3)
    wait_published(relay, 5)
    end(relay)

    assert published(kafka, site) == 5
    assert len(check(site.dsn, kafka.bootstrap).published) == 5
