"""A PostgreSQL of each module's own: its settings and transaction ids are nobody else's. `database` is on it."""

from collections.abc import Iterator

import pytest

from tests.support.resettable import ResettablePostgres, databases_on, resettable
from tests.support.servers import Databases


@pytest.fixture(scope="module")
def server() -> Iterator[ResettablePostgres]:
    """The server."""
    with resettable() as started:
        yield started


@pytest.fixture(scope="module")
def databases_of_server(server: ResettablePostgres) -> Databases:
    """Databases on it."""
    return databases_on(server)


@pytest.fixture
def database(databases_of_server: Databases) -> Iterator[str]:
    """The address of a fresh database on it, with our schema."""
    with databases_of_server.migrated() as dsn:
        yield dsn
