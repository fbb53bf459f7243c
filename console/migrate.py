"""`outbox migrate`: the schema of the outbox, as commands. Importing this does nothing."""

import json
from typing import Annotated

import typer

from console.migration_run import MigrationError, SchemaState, downgrade, offline_sql, pending, state, upgrade

__all__ = ["MigrationError", "SchemaState", "app", "downgrade", "offline_sql", "pending", "state", "upgrade"]

app = typer.Typer(help="Create and change the schema of the outbox. Nothing migrates by itself.", no_args_is_help=True)

DatabaseUrl = Annotated[
    str,
    typer.Option("--database-url", envvar="OUTBOX_DATABASE_URL", show_envvar=True, help="postgresql://…, libpq form"),
]
AsJson = Annotated[bool, typer.Option("--json", help="for programs")]


@app.command()
def up(database_url: DatabaseUrl) -> None:
    """Bring the database to the schema of this release."""
    missing = pending(database_url)
    upgrade(database_url)
    typer.echo(f"applied {', '.join(missing)}" if missing else "nothing to do")


@app.command()
def status(database_url: DatabaseUrl, as_json: AsJson = False) -> None:
    """Say how far the database is; exit code 1 when a migration is pending."""
    found = state(database_url)
    if as_json:
        typer.echo(
            json.dumps(
                {"current": found.current, "head": found.head, "pending": list(found.pending), "ahead": found.ahead}
            )
        )
    else:
        typer.echo(
            f"current  {found.current or '-'}\nhead     {found.head}\npending  {', '.join(found.pending) or 'none'}"
        )
    if found.pending:
        raise typer.Exit(1)


@app.command()
def sql(
    start: Annotated[str, typer.Option("--from", help="the revision that the database has")] = "base",
    transactions: Annotated[
        bool, typer.Option(help="with begin and commit; without for tools that open a transaction themselves")
    ] = True,
) -> None:
    """Print the SQL of the migrations, without a connection, for Flyway, Django, the host's Alembic or psql."""
    typer.echo(offline_sql(start=start, transactions=transactions), nl=False)
