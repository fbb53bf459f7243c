"""`outbox dev`: the servers without the demo, in the background."""

import json
import shlex
from typing import Annotated
from urllib.parse import urlsplit

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from devstack import background, kafka
from devstack.errors import StackStateError
from devstack.sink.process import listens

app = typer.Typer(help="Run PostgreSQL, Kafka and a mail sink on this machine, for development.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="for programs")]


@app.command()
def up(
    postgres: Annotated[bool, typer.Option(help="start PostgreSQL")] = True,
    kafka: Annotated[bool, typer.Option(help="start Kafka")] = True,
    smtp: Annotated[bool, typer.Option(help="start the mail sink")] = True,
) -> None:
    """Start the servers in the background, and say where they are."""
    wanted = {"postgres": postgres, "kafka": kafka, "smtp": smtp}
    with Console(stderr=True).status("starting the servers (the first time Kafka is downloaded)"):
        running = background.up([name for name, start in wanted.items() if start])
    _print_table(running)
    typer.echo('for this shell: eval "$(outbox dev env)"   then: outbox migrate up   in the end: outbox dev down')


@app.command()
def down() -> None:
    """Stop the servers; their data are gone."""
    with Console(stderr=True).status("stopping the servers"):
        stopped = background.down()
    typer.echo("stopped" if stopped else "nothing was running")


@app.command()
def env() -> None:
    """Print the settings that lead to the servers, for a shell: eval "$(outbox dev env)"."""
    for name, value in _running().environment.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say which servers run and answer; exit code 1 when none runs or one does not answer."""
    running = _running()
    rows = _rows(running)
    if as_json:
        servers = [{"server": name, "address": address, "answers": good} for name, address, good in rows]
        typer.echo(json.dumps({"pid": running.pid, "logs": running.folder, "servers": servers}))
    else:
        _print_table(running)
    if not all(good for _, _, good in rows):
        raise typer.Exit(1)


def _running() -> background.RunningStack:
    """Return the running stack; raise when there is none."""
    running = background.current()
    if running is None:
        raise StackStateError("no server runs that `outbox dev up` has started", "outbox dev up")
    return running


def _rows(running: background.RunningStack) -> list[tuple[str, str, bool]]:
    """Return each server's name and address, and whether it answers."""
    rows = []
    if dsn := running.environment.get("OUTBOX_DATABASE_URL"):
        rows.append(("PostgreSQL", dsn, _database_answers(dsn)))
    if bootstrap := running.environment.get("OUTBOX_KAFKA_BOOTSTRAP"):
        rows.append(("Kafka", bootstrap, kafka.answers(bootstrap, timeout_seconds=5)))
    if dsn := running.environment.get("OUTBOX_MAIL_DSN"):
        rows.append(("mail to", dsn, listens(urlsplit(dsn).port or 25)))
    if running.inbox:
        rows.append(("inbox", running.inbox, listens(urlsplit(running.inbox).port or 80)))
    return rows


def _database_answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=5).close()
    except psycopg.Error:
        return False
    return True


def _print_table(running: background.RunningStack) -> None:
    """Print where everything is. No column is cut: addresses are there to be copied."""
    rows = _rows(running)
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, address, good in rows:
        table.add_row(name, "[green]✓[/]" if good else "[red]✗ no answer[/]", address)
    table.add_row("logs", "", running.folder)
    Console(width=40 + max(len(address) for _, address, _ in rows)).print(table)
