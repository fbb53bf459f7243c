"""A partition that a producer is new to takes any first sequence: nothing may overtake what its leader has refused."""

import psycopg
import pytest

from tests.acceptance.conftest import Verify
from tests.support.kafka_network import Action, Api, Fault, ProxiedKafka
from tests.support.relays import Relays

# More than half of a batch: a request holds one of them.
PAD = 600_000


def emit_large(database: str, kind: str, count: int) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
            " select %s, (n %% 3)::text, 'thing.happened', json_build_object('pad', repeat('x', %s))"
            " from generate_series(1, %s) as n",
            (kind, PAD, count),
        )


def test_what_the_leader_of_a_new_partition_refuses_is_not_counted_as_stored(
    database: str, aggregate_type: str, broker: ProxiedKafka, relays_on_bad_network: Relays, verify: Verify
) -> None:
    """The client takes the success of a later request for the success of those before it."""
    relays_on_bad_network.drain()
    emit_large(database, aggregate_type, 20)
    refusal = broker.network.inject(Fault(Api.PRODUCE, Action.REFUSE))

    relays_on_bad_network.drain()

    assert refusal.over
    assert len(verify().published) == 20


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_twenty_new_topics_lose_nothing(database: str, aggregate_type: str, relays: Relays, verify: Verify) -> None:
    for number in range(20):
        emit_large(database, f"{aggregate_type}.{number}", 30)
        relays.drain()
    verify()
