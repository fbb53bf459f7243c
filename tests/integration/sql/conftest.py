"""A migrated database for tests that only look, and rolled-back transactions for tests that need no commit."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.servers import Databases


@pytest.fixture(scope="module")
def shared_database(databases: Databases) -> Iterator[str]:
    """The address of a migrated database that the tests of a module share, and leave as they found it."""
    with databases.migrated() as dsn:
        yield dsn


@pytest.fixture
def transaction(shared_database: str) -> Iterator[psycopg.Connection]:
    """A transaction of the superuser that is rolled back in the end."""
    with psycopg.connect(shared_database) as connection:
        yield connection
        connection.rollback()
