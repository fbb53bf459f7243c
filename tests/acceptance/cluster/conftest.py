"""Three brokers in the place of the one that all of `acceptance` has."""

from collections.abc import Iterator

import psycopg
import pytest

from devstack import folders
from tests.acceptance.conftest import Mend
from tests.support.kafka_cluster import KafkaCluster


@pytest.fixture(scope="session")
def three_brokers() -> Iterator[KafkaCluster]:
    """Three brokers that these tests may stop, kill and pause."""
    folder = folders.new_run_folder()
    started = KafkaCluster.started(folder)
    yield started
    started.close()
    folders.remove(folder)


@pytest.fixture
def broker(three_brokers: KafkaCluster) -> KafkaCluster:
    """The same, whole at the beginning."""
    three_brokers.heal()
    return three_brokers


@pytest.fixture
def cluster(broker: KafkaCluster) -> KafkaCluster:
    """What to strike, under the name that it has here."""
    return broker


@pytest.fixture
def mend(broker: KafkaCluster) -> Mend:
    """What has all brokers run, and every replica in sync."""
    return broker.heal


@pytest.fixture
def event_topic(aggregate_type: str) -> str:
    """The topic that the hosts' events go to."""
    return f"outbox.event.{aggregate_type}"


@pytest.fixture
def installation(database: str) -> str:
    """What the names of the progress topic and of the transactional ids begin with."""
    with psycopg.connect(database) as connection:
        row = connection.execute("select 'outbox.' || install_id from outbox.meta").fetchone()
    assert row is not None
    return str(row[0])
