"""The host under test, its database, and an observer that sees what is committed and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from tests.contract.hosts import stacks
from tests.support.servers import Databases

APP = (Path(__file__).parent / "app.sql").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def database(databases: Databases) -> Iterator[str]:
    """One database for all of this folder: making one takes longer than most of its three hundred tests."""
    with databases.migrated() as dsn:
        yield dsn


@pytest.fixture(autouse=True)
def observer(database: str) -> Iterator[psycopg.Connection[DictRow]]:
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:
        connection.execute(APP)
        yield connection


@pytest.fixture(params=[*stacks.PYTHON, *stacks.SQL], ids=lambda stack: stack.__name__)
def host(request: pytest.FixtureRequest, database: str, observer: psycopg.Connection[DictRow]) -> Iterator[stacks.Host]:
    yield from _opened(request.param, database, observer)


@pytest.fixture(params=stacks.PYTHON, ids=lambda stack: stack.__name__)
def python_host(
    request: pytest.FixtureRequest, database: str, observer: psycopg.Connection[DictRow]
) -> Iterator[stacks.Host]:
    yield from _opened(request.param, database, observer)


def _opened(stack: type[stacks.Host], database: str, _observer: psycopg.Connection[DictRow]) -> Iterator[stacks.Host]:
    opened = stack(database)
    yield opened
    opened.close()
