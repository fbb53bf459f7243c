"""A session and a source on a real database."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from relay.leases import Session
from relay.source import Source
from relay.window import ORIGIN
from runtime.settings import SecretDsn

Connect = Callable[[], psycopg.Connection]


@pytest.fixture
def session(database: str) -> Iterator[Session]:
    """A session as a relay has it."""
    opened = Session.open(SecretDsn(database), name="test")
    yield opened
    opened.close()


@pytest.fixture
def connect(database: str) -> Iterator[Connect]:
    """Opens connections of hosts, and closes them in the end."""
    opened: list[psycopg.Connection] = []

    def open_connection() -> psycopg.Connection:
        connection = psycopg.connect(database)
        opened.append(connection)
        return connection

    yield open_connection
    for connection in opened:
        connection.close()


class Reader:
    """Reads window after window, as a relay that publishes each at once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.a = ORIGIN
        self.pages: list[list[str]] = []

    def read(self) -> list[str]:
        """Return the keys of the next window's events, page after page."""
        b = self.source.snapshot()
        window = self.source.find(seq=1, a=self.a, b=b)
        self.a, self.pages, after = b, [], 0
        while window is not None:
            page = self.source.page(window, after=after)
            self.pages.append([row.event.aggregate_id for row in page.rows])
            if page.end is None:
                break
            after = page.end
        return [key for page in self.pages for key in page]


@pytest.fixture
def reader(session: Session) -> Reader:
    """Reads pages of at most four events."""
    return Reader(Source(session.connection, shard=0, shards=1, rows=4, page_bytes=1_000_000))


def insert(connection: psycopg.Connection, *keys: str, pad: int = 0) -> None:
    """Insert an event for each of *keys*, in the connection's transaction."""
    for key in keys:
        connection.execute(
            "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
            " values ('t', %s, 'happened', json_build_object('pad', (select string_agg(md5(n::text), '')"
            " from generate_series(1, %s) as n)))",
            (key, pad // 32),
        )


def outlive(connect: Connect) -> None:
    """Have a younger transaction end, so that the next snapshot lists those in progress by their ids.

    Without one they would be at or behind its xmax, as if they had not begun.
    """
    younger = connect()
    younger.execute("select pg_current_xact_id()")
    younger.commit()
