"""Crash matrix: PostgreSQL crashes around the barrier, and hosts' transactions that take long to end."""

import signal

import psycopg
import pytest

from devstack import providers
from tests.acceptance.conftest import Verify, Writing
from tests.support.relays import RelayProcess, Relays

# One window a page: much is between the pages.
SMALL_PAGES = {"relay_page_rows": 50}


def end(relay: RelayProcess) -> None:
    relay.send(signal.SIGTERM)
    assert relay.wait() == 0, relay.output


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("relay.window.found", id="before W2 is sent", marks=pytest.mark.chaos),
        pytest.param("relay.barrier.sent", id="before W2 is durable"),
        pytest.param("relay.barrier.written", id="after W2 is durable"),
        pytest.param("relay.commit.started", id="after W2, before the commit", marks=pytest.mark.chaos),
        pytest.param("relay.page.committed", id="after the commit", marks=pytest.mark.chaos),
    ],
)
def test_postgresql_crashes_before_or_after_w2_is_durable(
    place: str, postgres: providers.Postgres, relays: Relays, hosts: Writing, verify: Verify
) -> None:
    with hosts(asynchronous=True):
        relay = relays.start("run", pause_at=f"{place}:20", settings=SMALL_PAGES)
        relay.wait_for(place, count=20)  # it is stopped, or is about to be
        postgres.crash()
        postgres.start()
        relay.send(signal.SIGCONT)
        accepted = len(relay.events("relay.position.accepted"))
        relay.wait_for("relay.position.accepted", count=accepted + 1, timeout_seconds=30)
        pages = len(relay.events("relay.page.committed"))
        relay.wait_for("relay.page.committed", count=pages + 5, timeout_seconds=30)
        end(relay)

    verify()


def test_a_host_is_in_two_phase_commit_and_another_transaction_open_for_hours(
    database: str, aggregate_type: str, relays: Relays, hosts: Writing, verify: Verify
) -> None:
    insert = (
        "insert into outbox.event (aggregate_type, aggregate_id, type, payload) values (%s, %s, 'thing.happened', '{}')"
    )
    with psycopg.connect(database) as long, psycopg.connect(database) as prepared:
        long.execute(insert, (aggregate_type, "long"))
        prepared.tpc_begin(prepared.xid(1, f"open-{aggregate_type}", "host"))
        prepared.execute(insert, (aggregate_type, "prepared"))
        prepared.tpc_prepare()
        with hosts():
            relay = relays.start("run", settings=SMALL_PAGES)
            relay.wait_for("relay.page.committed", count=20, timeout_seconds=30)
            relay.end()
            relay = relays.start("run", settings=SMALL_PAGES)
            relay.wait_for("relay.page.committed", count=20, timeout_seconds=30)
        long.execute(insert, (aggregate_type, "long"))
        long.commit()
        end(relay)
        relays.drain()
        prepared.tpc_commit()

    verify()
