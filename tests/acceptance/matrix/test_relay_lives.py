"""Crash matrix: the relay lives on after something else has failed, or after another relay took its place."""

import signal
from functools import partial

import psycopg
import pytest

from tests.acceptance.conftest import Insert
from tests.acceptance.matrix.conftest import SMALL_PAGES, WINDOW, Shard, committed
from tests.support.checker import check
from tests.support.kafka_network import Action, Api, Fault, ProxiedKafka
from tests.support.meeting import Meeting
from tests.support.relays import RelayProcess, Relays
from tests.support.sessions import end_sessions
from tests.support.waiting import wait_until

# Seconds. transaction.timeout.ms is 15 s, and a broker looks for what has timed out every 10 s.
TIMED_OUT = 60


def end(relay: RelayProcess) -> None:
    relay.send(signal.SIGTERM)
    assert relay.wait() == 0, relay.output


def test_the_answer_to_endtxn_is_lost_and_the_relay_alive(
    broker: ProxiedKafka, shard: Shard, relays_on_bad_network: Relays
) -> None:
    broker.network.inject(Fault(Api.END_TXN, Action.RESET_ANSWER))
    relay = relays_on_bad_network.start("run", settings=SMALL_PAGES)

    relay.wait_for("relay.window.finished", timeout_seconds=60)

    assert len(relay.events("relay.page.failed")) == 1
    assert len(relay.events("relay.producer.initialised")) == 2
    assert committed(relay) == WINDOW - 5, "the first page was committed, and its position says so"
    end(relay)
    assert shard.recover() == 0


def test_a_zombie_is_paused_before_commit_and_a_successor_took_over(
    *, database: str, broker: ProxiedKafka, shard: Shard, relays: Relays, insert: Insert
) -> None:
    zombie = relays.start("run", pause_at="relay.commit.started", settings=SMALL_PAGES)
    zombie.wait_for("relay.commit.started")
    end_sessions(database, zombie.process.pid)
    assert shard.recover() == WINDOW
    insert(5)
    zombie.send(signal.SIGCONT)

    zombie.wait_for("relay.lease.lost")
    zombie.wait_for("relay.position.accepted", count=2)
    zombie.wait_for("relay.page.committed")
    end(zombie)
    (own,) = zombie.events("relay.page.committed")
    first, second = (event["epoch"] for event in zombie.events("relay.epoch.raised"))
    assert first < second == own["epoch"], "it published once more, under a lease that it had won again"
    check(database, broker.bootstrap)


@pytest.mark.timeout(300)
def test_the_broker_times_the_transaction_out_while_the_lease_is_still_ours(shard: Shard, relays: Relays) -> None:
    with Meeting("relay.commit.started") as meeting:
        relay = relays.start("run", meeting=meeting, settings=SMALL_PAGES)
        meeting.wait()
        wait_until(shard.is_open, timeout_seconds=20, what="a transaction in Kafka")
        wait_until(lambda: not shard.is_open(), timeout_seconds=TIMED_OUT, what="the broker to abort it")

    relay.wait_for("relay.window.finished", timeout_seconds=60)
    assert len(relay.events("relay.page.failed")) == 1
    assert len(relay.events("relay.epoch.raised")) == 1, "it is the same term"
    assert len(relay.events("relay.producer.initialised")) == 2
    assert committed(relay) == WINDOW
    end(relay)
    assert shard.recover() == 0


@pytest.mark.timeout(300)
def test_kafka_is_away_for_hours(database: str, broker: ProxiedKafka, relays: Relays, insert: Insert) -> None:
    insert(5)
    first = relays.start("run", settings={"relay_page_rows": 100})
    first.wait_for("relay.window.finished")
    standby = relays.start("run", settings={"relay_page_rows": 100})
    standby.wait_for("relay.lease.refused")
    broker.stop()
    for _ in range(10):
        insert(100, keys=20)
    first.wait_for("relay.page.failed", timeout_seconds=60)

    first.send(signal.SIGTERM)
    assert first.wait(timeout_seconds=15) == 0
    standby.wait_for("relay.epoch.raised", timeout_seconds=60)
    with psycopg.connect(database) as connection:
        batches = "select count(*) from outbox.batch where seq > 1 and epoch > %s"
        assert connection.execute(batches, (first.events("relay.epoch.raised")[-1]["epoch"],)).fetchone() == (0,)
    broker.start()

    wait_until(partial(_published, standby, 1000), timeout_seconds=90, what="the backlog")
    end(standby)
    assert len(check(database, broker.bootstrap).published) == 1005


def _published(relay: RelayProcess, count: int) -> bool:
    return committed(relay) >= count
