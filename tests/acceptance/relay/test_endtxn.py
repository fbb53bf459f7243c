"""Rule 4: an EndTxn that is lost, muted or late ends no other transaction than its own, and doubles nothing."""

from pathlib import Path

import pytest

from devstack import providers
from tests.acceptance.conftest import Insert
from tests.support.checker import check
from tests.support.kafka_proxy import Fault, proxied
from tests.support.relays import relays_on

LOST, MUTED, HELD = Fault.LOSE, Fault.MUTE, Fault.HOLD


@pytest.mark.parametrize(
    "faults",
    [{2: LOST, 5: LOST, 9: LOST}, {2: MUTED, 5: MUTED, 9: MUTED}, {3: LOST, 4: MUTED, 8: MUTED, 9: LOST}, {4: HELD}],
    ids=["lost", "muted", "mixed", "held"],
)
def test_an_end_that_goes_astray_is_answered_by_a_new_producer(
    faults: dict[int, Fault], database: str, kafka: providers.Kafka, insert: Insert, tmp_path: Path
) -> None:
    insert(60)

    with proxied(kafka.bootstrap, faults) as proxy, relays_on(database, proxy.bootstrap, tmp_path) as relays:
        drained = relays.drain(settings={"relay_page_rows": 5})
        renewals = drained.events("relay.producer.initialised")

        assert sum(proxy.seen[fault] for fault in Fault) == len(faults)
    failed = len(drained.events("relay.page.failed"))
    assert 1 <= failed <= len(faults), "the client repeats an EndTxn, so that two faults may meet one transaction"
    assert len(renewals) == 1 + failed
    check(database, kafka.bootstrap)
