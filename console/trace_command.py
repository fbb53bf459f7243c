"""`outbox trace EVENT_ID`."""

from typing import Annotated
from uuid import UUID

import typer

from console import output
from console.database import Database
from console.errors import UsageError
from console.options import AsJson
from console.record_search import MOST_RECORDS
from console.settings import ConsoleSettings
from console.trace import follow
from console.trace_view import render


def trace(
    context: typer.Context,
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event's id, the record's header `id`.")],
    route: Annotated[
        str | None, typer.Option(envvar="OUTBOX_RELAY_ROUTE", help="The relay's route, if not the default.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Look at so many Kafka records at most.")] = MOST_RECORDS,
    as_json: AsJson = False,
) -> None:
    """Say what became of one event: committed, published, consumed, every attempt with its reply, dead letters."""
    try:
        wanted = str(UUID(event_id))
    except ValueError:
        error = UsageError(f"expected EVENT_ID to be a UUID, got {event_id!r}")
        error.add_note("it is the header `id` of the record, and `event_id` in outbox.event, delivery and dead_letter")
        raise error from None
    settings = ConsoleSettings.load(context.obj)
    with Database.open(settings.database_url) as database:
        followed = follow(database, settings, wanted, route=route, most=most)
    if as_json:
        output.print_json(followed)
    else:
        output.stdout().print(render(followed))
