"""Crash matrix: the relay is killed. What Kafka has by then, and what the next relay makes of it."""

import signal

import psycopg
import pytest

from tests.acceptance.conftest import Insert
from tests.acceptance.matrix.conftest import SMALL_PAGES, WINDOW, Shard
from tests.support.checker import check
from tests.support.kafka_network import Action, Api, Fault, ProxiedKafka
from tests.support.relays import Relays
from tests.support.waiting import wait_until


def kill_at(place: str, relays: Relays) -> None:
    """Have a relay kill itself at *place*."""
    killed = relays.start("drain", crash_at=place, settings=SMALL_PAGES)
    assert killed.wait() == -signal.SIGKILL, killed.output


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("relay.position.accepted", id="before W1"),
        pytest.param("relay.snapshot.taken", id="within W1"),
        pytest.param("relay.barrier.sent", id="between W1 and W2"),
    ],
)
def test_killed_before_w1_or_between_w1_and_w2(place: str, shard: Shard, relays: Relays) -> None:
    kill_at(place, relays)

    assert shard.published() == 0
    assert not shard.is_open()
    assert shard.recover() == WINDOW


@pytest.mark.parametrize(
    ("place", "published"),
    [
        pytest.param("relay.page.committed:1", 5, id="after W2, before begin (of the second page)"),
        pytest.param("relay.page.produced", 0, id="during produce: the events, and no position"),
        pytest.param("relay.barrier.written", 0, id="during produce: all of it, and W2"),
        pytest.param("relay.commit.started", 0, id="before EndTxn"),
    ],
)
def test_killed_after_w2_before_begin_or_during_produce_or_before_endtxn(
    place: str, published: int, shard: Shard, relays: Relays
) -> None:
    kill_at(place, relays)

    assert shard.published() == published
    assert shard.recover() == WINDOW - published


def test_endtxn_is_never_received_and_the_relay_is_dead(
    broker: ProxiedKafka, shard: Shard, relays_on_bad_network: Relays
) -> None:
    lost = broker.network.inject(Fault(Api.END_TXN, Action.LOSE_REQUEST, times=100))
    relay = relays_on_bad_network.start("drain", settings=SMALL_PAGES)
    wait_until(lambda: lost.fired, timeout_seconds=60, what="an EndTxn that gets lost")
    relay.end()
    broker.network.calm()

    assert shard.published() == 0
    assert shard.is_open()
    assert shard.recover() == WINDOW


def test_endtxn_is_received_its_answer_lost_and_the_relay_dead(
    broker: ProxiedKafka, shard: Shard, relays_on_bad_network: Relays
) -> None:
    lost = broker.network.inject(Fault(Api.END_TXN, Action.LOSE_ANSWER, times=100))
    relay = relays_on_bad_network.start("drain", settings=SMALL_PAGES)
    wait_until(lambda: lost.answered, timeout_seconds=60, what="an answer that gets lost")
    relay.end()
    broker.network.calm()

    assert relay.events("relay.page.committed") == []
    wait_until(lambda: shard.published() == 5, timeout_seconds=20, what="the markers of the page")
    assert shard.recover() == WINDOW - 5


@pytest.mark.parametrize(
    ("place", "published"),
    [
        pytest.param("relay.commit.answered", 5, id="after commit, before it is judged and mirrored"),
        pytest.param("relay.page.committed:2", 10, id="between pages of a window"),
    ],
)
def test_killed_after_commit_before_the_mirror_or_between_pages_of_a_window(
    place: str, published: int, shard: Shard, relays: Relays
) -> None:
    kill_at(place, relays)

    wait_until(lambda: shard.published() == published, timeout_seconds=20, what="the markers of the pages")
    assert shard.recover() == WINDOW - published


def test_the_dead_letter_is_written_and_the_relay_dies(
    database: str, broker: ProxiedKafka, relays: Relays, insert: Insert
) -> None:
    settings = {"relay_poison_policy": "skip", "relay_page_rows": 2}  # a parked key would hold it back anyway
    insert(3)
    insert(1, key="sick", topic="not a topic")
    insert(3)
    killed = relays.start("drain", crash_at="relay.dead_letter.written", settings=settings)
    assert killed.wait() == -signal.SIGKILL, killed.output
    letters = "select reason, event_row_id from outbox.dead_letter"
    with psycopg.connect(database) as connection:
        written = connection.execute(letters).fetchall()
    before = len(check(database, broker.bootstrap, complete=False).published)

    recovered = relays.drain(settings=settings)

    assert recovered.events("relay.event.suspected") == [], "it is not tried again"
    with psycopg.connect(database) as connection:
        assert connection.execute(letters).fetchall() == written == [("invalid_topic", 4)]
    assert before < 6
    assert len(check(database, broker.bootstrap).published) == 6
