"""`outbox console …`: the web console."""

from typing import Annotated

import typer

from console.settings import ConsoleSettings
from runtime import logs

app = typer.Typer(help="A small web page: status and dead letters.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """A small web page: status and dead letters."""


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on; OUTBOX_CONSOLE_HOST by default.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; OUTBOX_CONSOLE_PORT by default.")] = None,
) -> None:
    """Serve the console until stopped.

    Read-only without OUTBOX_CONSOLE_PASSWORD, and then on this machine only. With it, whoever signs in may redrive and
    discard, and the audit names him.
    """
    settings = ConsoleSettings.load(context.obj)
    logs.configure(log_format=settings.log_format, log_level=settings.log_level)
    from console.web.serving import serve as serve_web  # noqa: PLC0415 - after the settings: it brings a web server along

    serve_web(settings, host=host or settings.console_host, port=settings.console_port if port is None else port)
