"""Serve the console until a signal."""

import structlog

from console.settings import ConsoleSettings
from console.web.application import make
from console.web.guard import Guard
from runtime import serving


def serve(settings: ConsoleSettings, *, host: str, port: int) -> None:
    """Serve the console on *host* and *port*; raise EndpointError when they are not to be had."""
    guard = Guard.of(settings, host=host)

    def started(url: str) -> None:
        structlog.get_logger("console").info("console.web.started", url=url, read_only=guard.password is None)

    names = "OUTBOX_CONSOLE_HOST and OUTBOX_CONSOLE_PORT"
    serving.serve(make(settings, guard), host=host, port=port, settings=names, started=started)
