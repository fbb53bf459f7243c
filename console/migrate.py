"""`outbox migrate`: the schema of the outbox, as commands. Importing this does nothing."""

from typing import Annotated

import typer

from console.migration_down import contents
from console.migration_errors import CapturedError, NotConfirmedError, UnsettledError
from console.migration_files import GRANTS, statement
from console.migration_run import SchemaState, downgrade, offline_sql, pending, state, upgrade
from console.output import print_json
from runtime.settings import DatabaseSettings

__all__ = ["SchemaState", "app", "downgrade", "offline_sql", "pending", "state", "upgrade"]

app = typer.Typer(help="Create and change the schema of the outbox. Nothing migrates by itself.", no_args_is_help=True)

FUNCTIONS = "0002"  # without its functions a captured table could not be written to
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Start = Annotated[str, typer.Option("--from", metavar="REVISION", help="The revision that the database has.")]
Transactions = Annotated[
    bool, typer.Option(help="With begin and commit; without, for tools that open a transaction themselves.")
]


@app.command()
def up(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Bring the database to the schema of this release. Two at once are safe."""
    applied = upgrade(_dsn(ctx))
    if as_json:
        print_json({"applied": applied})
    else:
        typer.echo(f"applied {', '.join(applied)}" if applied else "nothing to do")


@app.command()
def status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Say how far the database is; exit code 1 when a migration is pending."""
    found = state(_dsn(ctx))
    if as_json:
        print_json(found)
    else:
        newer = ", newer than this release" if found.ahead else ""
        typer.echo(f"current  {found.current or 'none'}{newer}")
        typer.echo(f"head     {found.head}")
        typer.echo(f"pending  {', '.join(found.pending) or 'none'}")
    if found.pending:
        raise typer.Exit(1)


@app.command()
def sql(start: Start = "base", transactions: Transactions = True) -> None:
    """Print the SQL of the migrations, without a connection: for psql, Flyway, Django or the host's Alembic."""
    typer.echo(offline_sql(start=start, transactions=transactions), nl=False)


@app.command()
def grants() -> None:
    """Print the SQL that makes the roles and what each may do, for an administrator's psql. It may be run again."""
    for name in GRANTS:
        typer.echo(statement(name))


@app.command()
def down(
    ctx: typer.Context,
    to: Annotated[str, typer.Option(metavar="REVISION", help="Where to go back to; `base` drops the schema.")] = "base",
    yes: Annotated[bool, typer.Option("--yes", help="Drop it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even what is still owed to somebody.")] = False,
) -> None:
    """Undo migrations, and drop what they made with all that is in it."""
    dsn = _dsn(ctx)
    found = contents(dsn)
    if found.revision is None:
        typer.echo("nothing to do")
        return
    what = (
        f"schema outbox, at revision {found.revision}: {', '.join(found.tables)}; and pgmq, if it came with it"
        if to == "base"
        else f"what came after {to}"
    )
    if not yes:
        error = NotConfirmedError(what)
        error.add_note("add --yes to do it; nothing brings the events and the history back")
        raise error
    if found.unsettled and not force:
        unsettled = UnsettledError(", ".join(found.unsettled))
        unsettled.add_note("settle them (`outbox status`, `outbox dead ls`), or add --force and lose them")
        raise unsettled
    if found.captured and (to == "base" or to < FUNCTIONS):
        raise _captured(found.captured)
    typer.echo(f"dropping {what}", err=True)
    downgrade(dsn, to=to)
    typer.echo("done; the roles stay, for they belong to the cluster")


def _captured(tables: tuple[str, ...]) -> CapturedError:
    error = CapturedError(tables)
    error.add_note("; ".join(f"select outbox.release_capture('{table}')" for table in tables))
    return error


def _dsn(ctx: typer.Context) -> str:
    """Return the database of the settings: the command's caller passes the environment as the context's object."""
    return DatabaseSettings.load(ctx.obj).database_url.get_secret_value()
