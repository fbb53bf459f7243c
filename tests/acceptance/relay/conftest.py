"""Relay processes on a database and a broker, both real."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from devstack import providers
from tests.support.relays import Relays, relays_on

Insert = Callable[..., None]


@pytest.fixture
def relays(database: str, kafka: providers.Kafka, tmp_path: Path) -> Iterator[Relays]:
    """What starts relays."""
    with relays_on(database, kafka.bootstrap, tmp_path) as started:
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
