"""Three brokers, a database, relays and hosts that write meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import psycopg
import pytest

from devstack import folders
from tests.support.checker import Seen, check
from tests.support.hosts import Host, settle_prepared, writing
from tests.support.kafka_cluster import KafkaCluster
from tests.support.relays import Relays, relays_on

Writing = Callable[..., AbstractContextManager[list[Host]]]
Verify = Callable[[], Seen]


@pytest.fixture(scope="session")
def three_brokers() -> Iterator[KafkaCluster]:
    """Three brokers that these tests may stop, kill and pause."""
    folder = folders.new_run_folder()
    started = KafkaCluster.started(folder)
    yield started
    started.close()
    folders.remove(folder)


@pytest.fixture
def cluster(three_brokers: KafkaCluster) -> KafkaCluster:
    """The same, whole at the beginning."""
    three_brokers.heal()
    return three_brokers


@pytest.fixture
def relays(database: str, cluster: KafkaCluster, tmp_path: Path) -> Iterator[Relays]:
    """What starts relays."""
    with relays_on(database, cluster.bootstrap, tmp_path) as started:
        yield started


@pytest.fixture
def hosts(database: str, aggregate_type: str) -> Writing:
    """What has hosts write for the length of a block."""
    return partial(writing, database, aggregate_type)


@pytest.fixture
def verify(database: str, cluster: KafkaCluster, relays: Relays) -> Verify:
    """What publishes the rest on a whole cluster, and reads everything back."""

    def publish_and_check() -> Seen:
        cluster.heal()
        settle_prepared(database)
        relays.drain()
        return check(database, cluster.bootstrap)

    return publish_and_check


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
