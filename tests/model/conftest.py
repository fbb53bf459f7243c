"""Connections of hosts and sessions of relays, for what the model assumes of PostgreSQL."""

from collections.abc import Iterator

import psycopg
import pytest

from relay.leases import Session
from runtime.settings import SecretDsn
from tests.model.asking import Connect


@pytest.fixture
def connect(database: str) -> Iterator[Connect]:
    """Opens connections, and closes them in the end."""
    opened: list[psycopg.Connection] = []

    def open_connection() -> psycopg.Connection:
        opened.append(psycopg.connect(database))
        return opened[-1]

    yield open_connection
    for connection in opened:
        connection.close()


@pytest.fixture
def sessions(database: str) -> Iterator[tuple[Session, Session]]:
    """The sessions of two relays."""
    pair = Session.open(SecretDsn(database), name="one"), Session.open(SecretDsn(database), name="two")
    yield pair
    for session in pair:
        session.close()
