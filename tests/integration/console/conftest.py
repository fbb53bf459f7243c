"""An operator, and rows for him to find."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.operators import Logins, Operator, Rows


@pytest.fixture
def outbox(database: str, capsys: pytest.CaptureFixture[str]) -> Operator:
    """The command, against the test's database."""
    return Operator(database, capsys)


@pytest.fixture
def rows(database: str) -> Iterator[Rows]:
    """Rows in the test's database."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield Rows(connection)


@pytest.fixture
def logins(rows: Rows, database: str) -> Iterator[Logins]:
    """Logins with one role each."""
    made = Logins(rows.connection, database)
    yield made
    made.drop()
