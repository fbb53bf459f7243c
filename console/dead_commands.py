"""`outbox dead …`: find what gave up, understand it, and put it right or give it up."""

from collections.abc import Sequence
from typing import Annotated

import typer

from console import dead, output
from console.database import Database
from console.dead_action import Order, act
from console.dead_filter import Filter
from console.dead_view import render_page, render_whole
from console.errors import UsageError
from console.moments import parse_moment
from console.options import AsJson, DryRun, Reason, Yes
from console.settings import ConsoleSettings

app = typer.Typer(help="Dead letters: what gave up, with its reason.", no_args_is_help=True)

STAGES = ("publish", "consume", "deliver")

Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Dead letters by id.")]
Stage = Annotated[str | None, typer.Option(help="Only those of this stage: publish, consume or deliver.")]
WithReason = Annotated[str | None, typer.Option("--with-reason", help="Only those that failed for this reason.")]
EventType = Annotated[str | None, typer.Option("--type", help="Only events of this type; * stands for anything.")]
Mail = Annotated[str | None, typer.Option(help="Only those of this mail.")]
Aggregate = Annotated[str | None, typer.Option(help="Only this aggregate, as TYPE or TYPE:ID.")]
Since = Annotated[str | None, typer.Option(help="Only those that failed since then: 2h, 3d, or a date.")]
Until = Annotated[str | None, typer.Option(help="Only those that failed before then.")]
All = Annotated[bool, typer.Option("--all", help="Every unresolved dead letter.")]
Rate = Annotated[float | None, typer.Option(min=0.01, help="At most this many a second.")]


@app.command("ls")
def ls(
    context: typer.Context,
    stage: Stage = None,
    reason: Annotated[
        str | None, typer.Option("--reason", "--with-reason", help="Only those that failed for this reason.")
    ] = None,
    event_type: EventType = None,
    mail: Mail = None,
    aggregate: Aggregate = None,
    since: Since = None,
    until: Until = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Also those that are resolved.")] = False,
    before: Annotated[int | None, typer.Option(help="Only ids below this one: the next page.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most rows.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first."""
    wanted = _filter(
        (), stage=stage, reason=reason, type=event_type, mail=mail, aggregate=aggregate, since=since, until=until
    )
    with Database.open(ConsoleSettings.load(context.obj).database_url) as database:
        page = dead.listed(database, wanted, resolved=resolved, before=before, limit=limit)
    if as_json:
        output.print_json(page)
    else:
        output.stdout().print(render_page(page))


@app.command()
def show(
    context: typer.Context,
    dead_letter_id: Annotated[int, typer.Argument(metavar="ID", help="Its id, as `ls` shows it.")],
    payload: Annotated[
        bool, typer.Option("--payload", help="Also payload and headers: may hold personal data.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show everything about one dead letter: where it failed, every attempt with its reply, who did what."""
    with Database.open(ConsoleSettings.load(context.obj).database_url) as database:
        whole = dead.shown(database, dead_letter_id, content=payload)
    if as_json:
        output.print_json(whole)
    else:
        output.stdout().print(render_whole(whole))


@app.command()
def redrive(
    context: typer.Context,
    reason: Reason,
    ids: Ids = None,
    stage: Stage = None,
    with_reason: WithReason = None,
    event_type: EventType = None,
    mail: Mail = None,
    aggregate: Aggregate = None,
    since: Since = None,
    until: Until = None,
    every: All = False,
    rate: Rate = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make dead letters pending again, by id or by filter.

    An event that parks its key goes first, and what is held behind it follows; the relay sees to the order.
    """
    wanted = _filter(
        ids or (),
        stage=stage,
        reason=with_reason,
        type=event_type,
        mail=mail,
        aggregate=aggregate,
        since=since,
        until=until,
    )
    act(
        context.obj, Order("redrive", wanted, reason, every=every, rate=rate, dry_run=dry_run, yes=yes, as_json=as_json)
    )


@app.command()
def discard(
    context: typer.Context,
    reason: Reason,
    ids: Ids = None,
    stage: Stage = None,
    with_reason: WithReason = None,
    event_type: EventType = None,
    mail: Mail = None,
    aggregate: Aggregate = None,
    since: Since = None,
    until: Until = None,
    every: All = False,
    rate: Rate = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give dead letters up for good, by id or by filter. The rows stay, marked, until retention takes them."""
    wanted = _filter(
        ids or (),
        stage=stage,
        reason=with_reason,
        type=event_type,
        mail=mail,
        aggregate=aggregate,
        since=since,
        until=until,
    )
    act(
        context.obj, Order("discard", wanted, reason, every=every, rate=rate, dry_run=dry_run, yes=yes, as_json=as_json)
    )


def _filter(ids: Sequence[int], *, since: str | None, until: str | None, **kinds: str | None) -> Filter:
    if (stage := kinds["stage"]) is not None and stage not in STAGES:
        raise UsageError(f"expected --stage to be {', '.join(STAGES[:-1])} or {STAGES[-1]}, got {stage!r}")
    return Filter(
        ids=tuple(ids),
        since=parse_moment(since, option="--since") if since else None,
        until=parse_moment(until, option="--until") if until else None,
        **kinds,
    )
