"""One relay a shard: standing by, taking over, stopping, and what a zombie can and cannot do."""

import signal
import time

import psycopg

from devstack import providers
from tests.acceptance.conftest import Insert
from tests.support.checker import check
from tests.support.relays import RelayProcess, Relays


def backend_of(database: str, relay: RelayProcess) -> int:
    """Return the backend that holds the lease for *relay*."""
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "select pid from pg_stat_activity where application_name like %s and application_name like '%%shard 0%%'",
            (f"%pid {relay.process.pid}",),
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_of_two_drains_one_publishes_and_the_other_says_who(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(5)
    first = relays.start("drain", pause_at="relay.page.read:1")
    first.wait_for("relay.page.read")

    second = relays.drain()

    assert f"pid {backend_of(database, first)}" in second.output
    assert f"on {__import__('socket').gethostname()} pid {first.process.pid}" in second.output
    first.send(signal.SIGCONT)
    assert first.wait() == 0
    check(database, kafka.bootstrap)


def test_a_standby_takes_over_within_two_seconds_of_a_kill(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(5)
    first = relays.start("run")
    first.wait_for("relay.window.finished")
    standby = relays.start("run")
    standby.wait_for("relay.lease.refused")

    killed_at = time.time()
    first.send(signal.SIGKILL)
    insert(5)

    published = standby.wait_for("relay.page.committed", timeout_seconds=10)
    assert standby.wait_for("relay.lease.granted")["at"] - killed_at < 1
    assert published["at"] - killed_at < 2
    standby.send(signal.SIGTERM)
    assert standby.wait() == 0
    check(database, kafka.bootstrap)


def test_sigterm_is_obeyed_within_five_seconds_and_hands_over_at_once(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    first = relays.start("run", settings={"relay_page_rows": 5})
    first.wait_for("relay.position.accepted")
    insert(500)
    first.wait_for("relay.page.committed", count=3)

    asked_at = time.monotonic()
    first.send(signal.SIGTERM)

    assert first.wait() == 0
    assert time.monotonic() - asked_at < 5
    relays.drain()
    check(database, kafka.bootstrap)


def test_a_relay_that_is_paused_for_long_loses_its_lease_to_a_standby(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(5)
    paused = relays.start("run", pause_at="relay.barrier.written:2", settings={"relay_page_rows": 2})
    paused.wait_for("relay.barrier.written", count=2)
    standby = relays.start("run")

    standby.wait_for("relay.window.finished", timeout_seconds=30)
    paused.send(signal.SIGCONT)
    paused.wait_for("relay.lease.lost")
    insert(5)

    for relay in (paused, standby):
        relay.send(signal.SIGTERM)
        assert relay.wait() == 0
    relays.drain()
    check(database, kafka.bootstrap)
