"""`outbox status`."""

from typing import Annotated

import typer
from rich.live import Live

from console import output
from console.database import Database
from console.options import AsJson
from console.settings import ConsoleSettings
from console.status import read
from console.status_view import render
from runtime.stopping import StopSignal


def status(
    context: typer.Context,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.2, help="Seconds between two looks, with --watch.")] = 2.0,
) -> None:
    """Say what waits, what is stuck, and who holds it.

    Reads only, and stays cheap on large tables. Exit code 0 whenever it could look; `outbox doctor` judges.
    """
    settings = ConsoleSettings.load(context.obj)
    with Database.open(settings.database_url) as database:
        if watch:
            _watch(database, as_json=as_json, every=every)
        elif as_json:
            output.print_json(read(database))
        else:
            output.stdout().print(render(read(database)))


def _watch(database: Database, *, as_json: bool, every: float) -> None:
    with StopSignal.installed() as stop:
        if as_json:
            output.print_json_line(read(database))
            while not stop.wait(every):
                output.print_json_line(read(database))
            return
        with Live(render(read(database)), console=output.stdout(), screen=False, auto_refresh=False) as live:
            while not stop.wait(every):
                live.update(render(read(database)), refresh=True)
