"""A relay that loses PostgreSQL alone, Kafka alone, or its sessions at a chosen moment."""

import signal

import pytest

from tests.acceptance.conftest import Verify, Writing
from tests.support.kafka_network import ProxiedKafka
from tests.support.meeting import Meeting
from tests.support.postgres_proxy import PostgresProxy
from tests.support.relays import RelayProcess, Relays
from tests.support.sessions import end_sessions

SMALL_PAGES = {"relay_page_rows": 50}
# Seconds: the machine may be busy.
PATIENCE = 60


def goes_on(relay: RelayProcess, pages: int = 5) -> None:
    """Return once *relay* has committed so many pages more."""
    before = len(relay.events("relay.page.committed"))
    relay.wait_for("relay.page.committed", count=before + pages, timeout_seconds=PATIENCE)


def end(relay: RelayProcess) -> None:
    relay.send(signal.SIGTERM)
    assert relay.wait() == 0, relay.output


def test_a_relay_without_postgresql_loses_its_lease_to_one_that_has_it(
    postgres_proxy: PostgresProxy, relays: Relays, relays_cut_off: Relays, hosts: Writing, verify: Verify
) -> None:
    with hosts():
        cut_off = relays_cut_off.start("run", settings=SMALL_PAGES)
        goes_on(cut_off)
        standby = relays.start("run", settings=SMALL_PAGES)
        standby.wait_for("relay.lease.refused", timeout_seconds=PATIENCE)

        postgres_proxy.isolate()

        cut_off.wait_for("relay.session.failed", count=2, timeout_seconds=PATIENCE)
        goes_on(standby)
        committed = len(cut_off.events("relay.page.committed"))
        postgres_proxy.rejoin()
        cut_off.wait_for("relay.lease.refused", timeout_seconds=PATIENCE)
        goes_on(standby)
        assert len(cut_off.events("relay.page.committed")) == committed
        end(cut_off)
        end(standby)
    verify()


def test_a_relay_without_kafka_keeps_its_lease_and_goes_on_in_the_same_term(
    broker: ProxiedKafka, relays: Relays, relays_cut_off: Relays, hosts: Writing, verify: Verify
) -> None:
    with hosts():
        cut_off = relays_cut_off.start("run", settings=SMALL_PAGES)
        goes_on(cut_off)
        standby = relays.start("run", settings=SMALL_PAGES)
        standby.wait_for("relay.lease.refused", timeout_seconds=PATIENCE)

        broker.network.isolate()

        cut_off.wait_for("relay.page.failed", timeout_seconds=PATIENCE)
        broker.network.rejoin()
        goes_on(cut_off)
        assert len(cut_off.events("relay.epoch.raised")) == 1
        assert not standby.events("relay.lease.granted")
        end(standby)
        end(cut_off)
    verify()


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("moment", ["relay.page.produced", "relay.barrier.written", "relay.commit.started"])
def test_a_relay_that_loses_its_lease_within_a_page_and_is_asked_to_end_there_ends_with_0(
    *, moment: str, database: str, relays: Relays, hosts: Writing, verify: Verify
) -> None:
    """Its producer is dropped in mid-request, and the process ends in that instant."""
    with hosts():
        for number in range(1, 11):
            with Meeting(f"{moment}:{number}") as meeting:
                relay = relays.start("run", meeting=meeting, settings=SMALL_PAGES)
                meeting.wait()
                end_sessions(database, relay.process.pid)
                relay.send(signal.SIGTERM)
            assert relay.wait() == 0, relay.output
    verify()


# In the order in which a page meets them.
MOMENTS = (
    "relay.lease.checked:1",
    "relay.snapshot.taken:3",
    "relay.barrier.sent:3",
    "relay.barrier.written:3",
    "relay.page.produced:3",
    "relay.commit.started:3",
    "relay.commit.answered:3",
    "relay.page.committed:3",
)
SHORT = "relay.commit.started:3"


@pytest.mark.parametrize(
    "moment", [pytest.param(one, marks=() if one == SHORT else pytest.mark.chaos) for one in MOMENTS]
)
def test_the_backend_of_the_lease_holder_is_terminated(
    *, moment: str, database: str, relays: Relays, hosts: Writing, verify: Verify
) -> None:
    with hosts():
        with Meeting(moment) as meeting:
            relay = relays.start("run", meeting=meeting, settings=SMALL_PAGES)
            meeting.wait()
            assert end_sessions(database, relay.process.pid) >= 1

        relay.wait_for("relay.lease.lost", timeout_seconds=PATIENCE)
        relay.wait_for("relay.lease.granted", count=2, timeout_seconds=PATIENCE)
        goes_on(relay)
        end(relay)

    verify()
