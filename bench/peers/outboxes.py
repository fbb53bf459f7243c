"""The contestants' outbox tables, filled alike: the same keys, and 300 bytes of JSON with the event's number."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable

_SQL = Path(__file__).with_name("sql")
_NUMBER = re.compile(rb'\{"n" ?: ?(\d+),')
TABLES = (_SQL / "tables.sql").read_text(encoding="utf-8")
WRITTEN = (_SQL / "written.sql").read_text(encoding="utf-8")


def number_of(value: bytes) -> int:
    """Return the number of the event that *value* is."""
    found = _NUMBER.match(value)
    if found is None:
        raise ValueError(f"expected an event of this bench, got {value[:40]!r}")
    return int(found[1])


@dataclass(frozen=True, slots=True)
class Outbox:
    """A table that one contestant publishes, and the topic it publishes to; *line* is an event in the form of COPY."""

    table: str
    topic: str
    insertion: str
    copy: str
    line: Callable[[int], str]

    def insert(self, connection: psycopg.Connection, first: int, last: int) -> None:
        """Insert the events *first* to *last*; committing is the caller's."""
        psycopg.RawCursor(connection).execute(self.insertion, (first, last))

    def copy_in(self, connection: psycopg.Connection, first: int, last: int) -> None:
        """Copy the events *first* to *last* in; committing is the caller's."""
        with connection.cursor() as cursor, cursor.copy(self.copy) as copy:
            copy.write("".join(map(self.line, range(first, last + 1))))

    def fill(self, database_url: str, first: int, last: int, *, rows_each: int = 1) -> None:
        """Commit the events *first* to *last*, *rows_each* a transaction as a host does; leave the table analysed.

        The checkpoint comes before: after it, each page that a relay changes would be written to the log whole, which a
        relay that keeps up does not pay for.
        """
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("checkpoint")
            connection.execute("call bench_backlog(%s, %s, %s, %s)", (self.insertion, first, last, rows_each))
            connection.execute(f"vacuum analyze {self.table}")


def _sql(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


def _value(number: int) -> str:
    return json.dumps({"n": number, "filler": "x" * 280})


def _row(number: int) -> str:
    return f"peers\t{number % 1000}\tbench.happened\t{_value(number)}\n"


def _row_with_id(number: int) -> str:
    """Return a row whose id the host has made: where a default is volatile, COPY writes row by row as INSERT does."""
    return f"{uuid.uuid4()}\t{_row(number)}"


def _faststream_row(number: int) -> str:
    headers = json.dumps({"key": str(number % 1000), "content-type": "application/octet-stream"})
    return f"bench\t\\\\x{_value(number).encode().hex()}\t{headers}\n"


RELAY = Outbox(
    table="outbox.event",
    topic="outbox.event.peers",
    insertion=_sql("insert_relay"),
    copy="copy outbox.event (aggregate_type, aggregate_id, type, payload) from stdin",
    line=_row,
)
DEBEZIUM = Outbox(
    table="debezium_outbox",
    topic="bench.debezium",
    insertion=_sql("insert_debezium"),
    copy="copy debezium_outbox (id, aggregatetype, aggregateid, type, payload) from stdin",
    line=_row_with_id,
)
DEBEZIUM_DEFAULT = Outbox(
    table="debezium_default_outbox",
    topic="bench.debezium_default",
    insertion=_sql("insert_debezium_default"),
    copy="copy debezium_default_outbox (id, aggregatetype, aggregateid, type, payload) from stdin",
    line=_row_with_id,
)
USUAL = Outbox(
    table="usual_outbox",
    topic="bench.usual",
    insertion=_sql("insert_usual"),
    copy="copy usual_outbox (aggregate_type, aggregate_id, type, payload) from stdin",
    line=_row,
)
FASTSTREAM = Outbox(
    table="faststream_outbox",
    topic="bench.faststream",
    insertion=_sql("insert_faststream"),
    copy="copy faststream_outbox (queue, payload, headers) from stdin",
    line=_faststream_row,
)
BY_NAME = {
    "relay": RELAY,
    "debezium": DEBEZIUM,
    "debezium default": DEBEZIUM_DEFAULT,
    "usual": USUAL,
    "faststream": FASTSTREAM,
}
