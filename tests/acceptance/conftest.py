"""A broker that may be killed, behind a proxy; a database behind another; relays, and hosts that write meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import psycopg
import pytest

from devstack import folders
from tests.support.checker import Seen, check
from tests.support.hosts import Host, settle_prepared, writing
from tests.support.kafka_network import ProxiedKafka
from tests.support.postgres_proxy import PostgresProxy
from tests.support.relays import Relays, relays_on

Writing = Callable[..., AbstractContextManager[list[Host]]]
Verify = Callable[[], Seen]
Insert = Callable[..., None]
Mend = Callable[[], None]


@pytest.fixture(scope="session")
def faulty_broker() -> Iterator[ProxiedKafka]:
    """A broker that these tests may kill, with a second way in through a proxy."""
    folder = folders.new_run_folder()
    started = ProxiedKafka.started(folder)
    yield started
    started.close()
    folders.remove(folder)


@pytest.fixture
def broker(faulty_broker: ProxiedKafka) -> Iterator[ProxiedKafka]:
    """The same, running and without a fault at the beginning."""
    faulty_broker.network.calm()
    faulty_broker.start()
    yield faulty_broker
    faulty_broker.network.calm()


@pytest.fixture
def postgres_proxy(database: str) -> Iterator[PostgresProxy]:
    """The way to the database on which connections are cut."""
    proxy = PostgresProxy(database)
    yield proxy
    proxy.close()


@pytest.fixture
def relays(database: str, broker: ProxiedKafka, tmp_path: Path) -> Iterator[Relays]:
    """Relays with nothing between them and the servers."""
    with relays_on(database, broker.bootstrap, tmp_path) as started:
        yield started


@pytest.fixture
def relays_on_bad_network(database: str, broker: ProxiedKafka, tmp_path: Path) -> Iterator[Relays]:
    """Relays that reach Kafka through the proxy."""
    with relays_on(database, broker.network.bootstrap, tmp_path) as started:
        yield started


@pytest.fixture
def relays_on_cut_line(postgres_proxy: PostgresProxy, broker: ProxiedKafka, tmp_path: Path) -> Iterator[Relays]:
    """Relays that reach PostgreSQL through the proxy."""
    with relays_on(postgres_proxy.dsn, broker.bootstrap, tmp_path) as started:
        yield started


@pytest.fixture
def relays_cut_off(postgres_proxy: PostgresProxy, broker: ProxiedKafka, tmp_path: Path) -> Iterator[Relays]:
    """Relays that reach both systems through a proxy."""
    with relays_on(postgres_proxy.dsn, broker.network.bootstrap, tmp_path) as started:
        yield started


@pytest.fixture
def insert(database: str, aggregate_type: str) -> Insert:
    """Inserts *count* events in one transaction, over *keys* keys."""

    def insert_events(
        count: int, *, keys: int = 3, topic: str | None = None, key: str | None = None, pad: int = 0
    ) -> None:
        with psycopg.connect(database) as connection:
            connection.execute(
                "insert into outbox.event (aggregate_type, aggregate_id, type, payload, topic)"
                " select %s, coalesce(%s, (n %% %s)::text), 'thing.happened',"
                " json_build_object('n', n, 'pad', repeat('x', %s)), %s from generate_series(1, %s) as n",
                (aggregate_type, key, keys, pad, topic, count),
            )

    return insert_events


@pytest.fixture
def hosts(database: str, aggregate_type: str) -> Writing:
    """What has hosts write for the length of a block."""
    return partial(writing, database, aggregate_type)


@pytest.fixture
def mend(broker: ProxiedKafka) -> Mend:
    """What ends every fault of the brokers; other folders have other brokers."""
    return broker.network.calm


@pytest.fixture
def verify(database: str, broker: ProxiedKafka, relays: Relays, mend: Mend) -> Verify:
    """What publishes the rest with a relay that nothing happens to, and reads everything back."""

    def publish_and_check() -> Seen:
        mend()
        settle_prepared(database)
        relays.drain()
        return check(database, broker.bootstrap)

    return publish_and_check
