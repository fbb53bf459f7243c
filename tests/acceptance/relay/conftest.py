"""Relay processes on a database and the broker that all tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import providers
from tests.support.relays import Relays, relays_on


@pytest.fixture
def relays(database: str, kafka: providers.Kafka, tmp_path: Path) -> Iterator[Relays]:
    """What starts relays."""
    with relays_on(database, kafka.bootstrap, tmp_path) as started:
        yield started
