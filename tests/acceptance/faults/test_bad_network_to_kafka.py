"""Requests and answers of a Kafka transaction that get lost, reset or late, while the relay lives and hosts write."""

import signal

import pytest

from tests.acceptance.faults.conftest import Verify, Writing
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
SLOW = "waits for a timeout of the client"


def publish_through(fault: Fault, broker: ProxiedKafka, relays: Relays) -> RelayProcess:
    """Have *fault* happen to a relay at work, and return the relay once it has published a page behind it."""
    relay = relays.start("run")
    relay.wait_for("relay.page.committed", count=5)
    injected = broker.network.inject(fault)
    wait_until(lambda: injected.over, timeout_seconds=40, what=f"{fault} to happen")
    pages = len(relay.events("relay.page.committed"))
    relay.wait_for("relay.page.committed", count=pages + 5, timeout_seconds=60)
    return relay


@pytest.mark.parametrize("name", FAULTS)
def test_each_event_is_published_once(
    name: str, broker: ProxiedKafka, relays_on_bad_network: Relays, hosts: Writing, verify: Verify
) -> None:
    fault = FAULTS[name]
    with hosts():
        relay = publish_through(fault, broker, relays_on_bad_network)
        if fault.api is Api.END_TXN:
            assert relay.events("relay.renewal.failed"), "the producer went on after an end that was not clean"
        relay.send(signal.SIGTERM)
        assert relay.wait() == 0, relay.output

    verify()
