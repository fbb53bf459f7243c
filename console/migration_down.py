"""What `outbox migrate down` would drop, and what of it is still owed to somebody."""

from dataclasses import dataclass

from psycopg.rows import dict_row

from console.migration_run import connected, state_of
from outbox.statements import load


@dataclass(frozen=True, slots=True)
class Contents:
    """The tables that would go, as a person reads them; what is unsettled, empty when nothing is."""

    revision: str | None
    tables: tuple[str, ...]
    unsettled: tuple[str, ...]


def contents(dsn: str) -> Contents:
    """Return what is in the schema of the database at *dsn*."""
    with connected(dsn) as connection:
        found = state_of(connection)
        driver = connection.connection.driver_connection
        assert driver is not None  # noqa: S101 - the pool has just opened it
        with driver.cursor(row_factory=dict_row) as cursor:
            tables = [
                f"{row['name']} (about {row['about_rows']} rows, {row['size']})"
                for row in cursor.execute(load("console", "migrate_contents"))
            ]
            # Below the head there may be no function to ask, and nothing that went through the tables either.
            counts = {} if found.current is None else cursor.execute(load("console", "migrate_unsettled")).fetchone()
            if found.current is not None and not found.pending:
                counts |= cursor.execute(load("console", "migrate_unpublished")).fetchone()
    return Contents(
        found.current,
        tuple(tables),
        tuple(f"{count} {what.replace('_', ' ')}" for what, count in counts.items() if count),
    )
