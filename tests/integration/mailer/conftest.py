"""A worker's store and a consumer's ledger on a real database, as the role that has their rights and no others."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from mailer.claims import BreakerRule
from mailer.database import Database
from mailer.store import Store
from runtime.dsn import SecretDsn

RULE = BreakerRule(threshold=3, pause=timedelta(seconds=30), pause_cap=timedelta(minutes=10))
Query = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def query(database: str) -> Iterator[Query]:
    """Return what runs a statement of the test's own, as the superuser."""
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:

        def run(statement: str, *arguments: object) -> list[dict[str, Any]]:
            cursor = connection.execute(statement.encode(), arguments)
            return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def connect(database: str) -> Iterator[Callable[[], Database]]:
    """Return what makes databases of the mailer's role."""
    with ExitStack() as stack:

        def make() -> Database:
            made = Database(SecretDsn.parse(f"{database}?options=-c%20role%3Doutbox_mailer"), name="test")
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def make_store(connect: Callable[[], Database]) -> Callable[..., Store]:
    """Return what makes a worker's store."""

    def make(*, worker: str = "w1", lease: timedelta = timedelta(minutes=5)) -> Store:
        return Store(connect(), worker=worker, lease=lease, rule=RULE, lanes=("security", "default"))

    return make


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    """Return a worker's store."""
    return make_store()


@pytest.fixture
def owe(database: str) -> Iterator[Callable[..., int]]:
    """Return what inserts a delivery and returns its id; keywords are columns."""
    connection = psycopg.connect(database, autocommit=True)

    def insert(**columns: object) -> int:
        number = uuid4().hex
        facts: dict[str, object] = {
            "event_id": str(uuid4()),
            "event_type": "user.role_upgraded",
            "aggregate_type": "user",
            "aggregate_id": "42",
            "mail": "role_upgrade",
            "recipient": f"u{number}@example.com",
            "recipient_key": number.encode(),
            "payload": '{"n": 1.10}',
            "expires_in": timedelta(days=1),
            **columns,
        }
        expires_in = facts.pop("expires_in")
        # Column names are the tests' own.
        columns_and_values = sql.SQL(
            "insert into outbox.delivery ({}, expires_at) values ({}, now() + %s) returning id"
        )
        statement = columns_and_values.format(
            sql.SQL(", ").join(map(sql.Identifier, facts)), sql.SQL(", ").join([sql.Placeholder()] * len(facts))
        )
        [row] = connection.execute(statement, [*facts.values(), expires_in]).fetchall()
        found: int = row[0]
        return found

    with connection:
        yield insert
