"""What `outbox migrate down` would drop, and what of it is still owed to somebody."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from console.migration_run import connected, state_of
from outbox.statements import load


@dataclass(frozen=True, slots=True)
class Contents:
    """The tables that would go, as a person reads them; what is unsettled and which tables are captured, if any."""

    revision: str | None
    tables: tuple[str, ...]
    unsettled: tuple[str, ...]
    captured: tuple[str, ...]


def contents(dsn: str) -> Contents:
    """Return what is in the schema of the database at *dsn*."""
    with connected(dsn) as connection:
        found = state_of(connection)
        if found.current is None:
            return Contents(None, (), (), ())
        tables = [
            f"{row['name']} (about {row['about_rows']} rows, {row['size']})" for row in _rows(connection, "contents")
        ]
        counts = dict(_rows(connection, "unsettled")[0])
        if not found.pending:  # below the head the function that counts them may not be there yet
            counts |= _rows(connection, "unpublished")[0]
        captured = [str(row["name"]) for row in _rows(connection, "captured")]
    unsettled = [f"{count} {what.replace('_', ' ')}" for what, count in counts.items() if count]
    return Contents(found.current, tuple(tables), tuple(unsettled), tuple(captured))


def _rows(connection: Connection, name: str) -> list[Mapping[str, Any]]:
    statement = load("console", f"migrate_{name}")
    unparametrised = connection.execution_options(no_parameters=True)
    return [dict(row) for row in unparametrised.exec_driver_sql(statement).mappings()]
