"""Where the migrations are, and how one of their `.sql` files runs.

A revision imports this module and not a package `migrations`: a host's own Alembic or Django often has a folder of that
name, and whichever comes first on the path would win.
"""

from functools import cache
from pathlib import Path

from alembic import op
from sqlalchemy import Connection

# The current roles and rights, in the order in which they are granted; each may be run again.
GRANTS = (
    "0003_roles.sql",
    "0003_grants.sql",
    "0004_pgmq_grants.sql",
    "0005_grants.sql",
    "0006_recipients_grants.sql",
)


@cache
def folder() -> Path:
    """Return the folder of the migrations: inside the installed package, or at the top of a checkout."""
    packaged = Path(__file__).parent / "_migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "migrations"


def statement(name: str) -> str:
    """Return the text of *name*, a file of `migrations/sql`."""
    return (folder() / "sql" / name).read_text(encoding="utf-8")


def run(name: str) -> None:
    """Run the file *name* of `migrations/sql` in the migration under way, or print it when SQL is only asked for."""
    run_text(statement(name))


def run_text(text: str) -> None:
    """Run *text*, one or many statements, exactly as written.

    Neither `op.execute` nor `text()` would do: they take `:name` and `%` for parameters, and our functions hold both.
    """
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(text.strip().removesuffix(";") + ";")
    elif (connection := context.connection) is not None:
        run_on(connection, text)


def run_on(connection: Connection, text: str) -> None:
    """Run *text* on *connection*: without parameters psycopg sends it as it is, however many statements it has."""
    connection.execution_options(no_parameters=True).exec_driver_sql(text)
