"""Requests and answers of a Kafka transaction that get lost, reset or late, while the relay lives and hosts write."""

import signal

import psycopg
import pytest

from tests.acceptance.conftest import Verify, Writing
from tests.support.kafka_network import Action, Api, Fault, ProxiedKafka
from tests.support.relays import RelayProcess, Relays
from tests.support.waiting import wait_until

FAULTS = {
    "EndTxn: answer lost": Fault(Api.END_TXN, Action.LOSE_ANSWER),
    "EndTxn: answer lost, connection reset": Fault(Api.END_TXN, Action.RESET_ANSWER, times=3),
    "EndTxn: request lost": Fault(Api.END_TXN, Action.LOSE_REQUEST),
    "EndTxn: request reset": Fault(Api.END_TXN, Action.RESET_REQUEST, times=3),
    "EndTxn: late by 2 s, sent again at once": Fault(Api.END_TXN, Action.HOLD_AND_RESET, times=3, seconds=2),
    "EndTxn: late by 0.05 s, sent again at once": Fault(Api.END_TXN, Action.HOLD_AND_RESET, times=3, seconds=0.05),
    "EndTxn: late by 5.2 s, just when it is sent again": Fault(Api.END_TXN, Action.HOLD_REQUEST, seconds=5.2),
    "Produce: answer lost": Fault(Api.PRODUCE, Action.LOSE_ANSWER, times=2),
    "Produce: answer lost, connection reset": Fault(Api.PRODUCE, Action.RESET_ANSWER, times=5),
    "Produce: late by 1 s, sent again at once": Fault(Api.PRODUCE, Action.HOLD_AND_RESET, times=5, seconds=1),
    "AddPartitionsToTxn: answer reset": Fault(Api.ADD_PARTITIONS_TO_TXN, Action.RESET_ANSWER, times=3),
    "AddPartitionsToTxn: late by 1 s": Fault(Api.ADD_PARTITIONS_TO_TXN, Action.HOLD_AND_RESET, times=3, seconds=1),
}


def publish_through(fault: Fault, broker: ProxiedKafka, relays: Relays) -> RelayProcess:
    """Have *fault* happen to a relay at work, and return the relay once it has published a page behind it."""
    relay = relays.start("run")
    relay.wait_for("relay.page.committed", count=5)
    injected = broker.network.inject(fault)
    wait_until(lambda: injected.over, timeout_seconds=40, what=f"{fault} to happen")
    pages = len(relay.events("relay.page.committed"))
    relay.wait_for("relay.page.committed", count=pages + 5, timeout_seconds=60)
    return relay


def end(relay: RelayProcess) -> None:
    relay.send(signal.SIGTERM)
    assert relay.wait() == 0, relay.output


def test_what_breaks_at_once_and_comes_late_doubles_nothing(
    broker: ProxiedKafka, relays_on_bad_network: Relays, hosts: Writing, verify: Verify
) -> None:
    """Rule 4 above all: an EndTxn that comes late ends half of the transaction that is open by then."""
    faults = [fault for fault in FAULTS.values() if fault.action is not Action.LOSE_ANSWER and fault.seconds < 3]
    with hosts():
        relay = relays_on_bad_network.start("run")
        for fault in faults:
            if fault.action in (Action.LOSE_REQUEST, Action.HOLD_REQUEST):
                continue
            pages = len(relay.events("relay.page.committed"))
            renewals = len(relay.events("relay.renewal.failed"))
            relay.wait_for("relay.page.committed", count=pages + 3, timeout_seconds=40)
            injected = broker.network.inject(fault)
            wait_until(lambda: injected.over, timeout_seconds=40, what=f"{fault}")  # noqa: B023
            if fault.api is Api.END_TXN:
                relay.wait_for("relay.renewal.failed", count=renewals + 1)
        pages = len(relay.events("relay.page.committed"))
        relay.wait_for("relay.page.committed", count=pages + 5, timeout_seconds=40)
        end(relay)

    verify()


@pytest.mark.chaos
@pytest.mark.parametrize("name", FAULTS)
def test_each_event_is_published_once(
    name: str, broker: ProxiedKafka, relays_on_bad_network: Relays, hosts: Writing, verify: Verify
) -> None:
    fault = FAULTS[name]
    with hosts():
        relay = publish_through(fault, broker, relays_on_bad_network)
        if fault.api is Api.END_TXN:
            assert relay.events("relay.page.failed"), "the producer went on after an end that was not clean"
        end(relay)

    verify()


TAKEOVER_FAULTS = (
    Fault(Api.INIT_PRODUCER_ID, Action.RESET_ANSWER),
    Fault(Api.INIT_PRODUCER_ID, Action.LOSE_ANSWER),
    Fault(Api.INIT_PRODUCER_ID, Action.HOLD_AND_RESET, seconds=1),
    Fault(Api.FIND_COORDINATOR, Action.RESET_ANSWER),
    Fault(Api.FIND_COORDINATOR, Action.LOSE_REQUEST),
)


@pytest.mark.chaos
def test_a_takeover_whose_requests_get_lost_or_come_late(
    broker: ProxiedKafka, relays_on_bad_network: Relays, hosts: Writing, verify: Verify
) -> None:
    with hosts():
        for fault in TAKEOVER_FAULTS:
            injected = broker.network.inject(fault)
            relay = relays_on_bad_network.start("run")
            wait_until(lambda: injected.over, timeout_seconds=30, what=f"{fault}")  # noqa: B023
            relay.wait_for("relay.page.committed", count=10, timeout_seconds=40)
            relay.end()

    verify()


@pytest.mark.chaos
def test_three_shards_whose_ends_come_late(
    database: str, broker: ProxiedKafka, relays_on_bad_network: Relays, hosts: Writing, verify: Verify
) -> None:
    """Rule 3: what one shard leaves open hides no position of another."""
    with psycopg.connect(database) as connection:
        connection.execute("update outbox.meta set shards = 3")
    with hosts(hosts=3):
        for _ in range(3):
            relay = relays_on_bad_network.start("run", settings={"relay_page_rows": 50})
            relay.wait_for("relay.page.committed", count=15, timeout_seconds=40)
            broker.network.inject(Fault(Api.END_TXN, Action.HOLD_AND_RESET, times=4, seconds=1))
            relay.wait_for("relay.page.committed", count=60, timeout_seconds=40)
            relay.end()

    verify()
