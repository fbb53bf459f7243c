"""A broker that answers slowly: what takes longer than a timeout of the client is published nevertheless."""

import pytest

from tests.acceptance.faults.conftest import Verify
from tests.acceptance.faults.test_new_partitions import emit_large
from tests.support.kafka_network import Action, Api, Fault, ProxiedKafka
from tests.support.relays import Relays


@pytest.mark.chaos
@pytest.mark.xfail(reason="the commit times out after 6 s, and the same page comes again, for ever")
def test_a_page_that_takes_longer_to_store_than_a_commit_may(
    database: str, aggregate_type: str, broker: ProxiedKafka, relays_on_bad_network: Relays, verify: Verify
) -> None:
    relays_on_bad_network.drain()
    emit_large(database, aggregate_type, 16)
    broker.network.inject(Fault(Api.PRODUCE, Action.HOLD_ANSWER, times=1000, seconds=0.5))

    drained = relays_on_bad_network.drain()

    assert not drained.events("relay.renewal.failed")
    assert len(verify().published) == 16
