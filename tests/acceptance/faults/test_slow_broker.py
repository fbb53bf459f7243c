"""A broker that answers slowly: what takes longer than a timeout of the client is published nevertheless."""

import signal

import pytest

from tests.acceptance.conftest import Verify, Writing
from tests.acceptance.faults.test_new_partitions import emit_large
from tests.support.kafka_network import Action, Api, Fault, ProxiedKafka
from tests.support.relays import Relays


def test_a_page_that_takes_longer_to_store_than_a_commit_may_is_published_in_parts(
    database: str, aggregate_type: str, broker: ProxiedKafka, relays_on_bad_network: Relays, verify: Verify
) -> None:
    """A request for each record, one after the other: sixteen take longer than the 6 s of a commit, eight do not."""
    relays_on_bad_network.drain()
    emit_large(database, aggregate_type, 16)
    broker.network.inject(Fault(Api.PRODUCE, Action.HOLD_ANSWER, times=1000, seconds=0.45))

    drained = relays_on_bad_network.drain()

    assert [event["rows"] for event in drained.events("relay.page.halved")] == [8]
    assert not drained.events("relay.renewal.failed")
    assert len(verify().published) == 16


@pytest.mark.chaos
def test_a_single_event_that_takes_longer_is_waited_for_and_the_position_says_that_it_was_committed(
    database: str, aggregate_type: str, broker: ProxiedKafka, relays_on_bad_network: Relays, verify: Verify
) -> None:
    relays_on_bad_network.drain()
    emit_large(database, aggregate_type, 4)
    broker.network.inject(Fault(Api.PRODUCE, Action.HOLD_ANSWER, times=1000, seconds=3.5))

    drained = relays_on_bad_network.start("drain")

    assert drained.wait(timeout_seconds=180) == 0, drained.output
    assert drained.events("relay.page.halved")[-1]["rows"] == 1
    assert len(verify().published) == 4


@pytest.mark.chaos
def test_a_broker_that_is_quick_again_gets_whole_pages_again(
    broker: ProxiedKafka, relays_on_bad_network: Relays, hosts: Writing, verify: Verify
) -> None:
    with hosts():
        relay = relays_on_bad_network.start("run")
        relay.wait_for("relay.page.committed", count=5)
        broker.network.inject(Fault(Api.PRODUCE, Action.HOLD_ANSWER, times=1000, seconds=4))
        relay.wait_for("relay.page.halved", timeout_seconds=60)
        broker.network.calm()
        pages = len(relay.events("relay.page.committed"))
        relay.wait_for("relay.page.committed", count=pages + 40, timeout_seconds=60)
        halved = len(relay.events("relay.page.halved"))
        relay.wait_for("relay.page.committed", count=pages + 60, timeout_seconds=60)
        assert len(relay.events("relay.page.halved")) == halved
        relay.send(signal.SIGTERM)
        assert relay.wait() == 0, relay.output

    verify()
