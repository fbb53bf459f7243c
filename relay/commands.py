"""`outbox relay …` and `outbox topics …`: what an operator, cron or a supervisor calls."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from relay.healing import hanging
from relay.position import positions
from relay.resync.commands import resync
from relay.service import Report, serve
from relay.topic_commands import app as topics_app
from relay.wiring import Outcome
from runtime.exits import ExitCode

__all__ = ["app", "topics_app", "worded"]

app = typer.Typer(help="Publish committed events to Kafka, exactly once.", no_args_is_help=True)

Shards = Annotated[str | None, typer.Option(help="Which shards, as `0,2`; all of them when not given.")]


@app.command()
def run(context: typer.Context, shards: Shards = None) -> None:
    """Publish until stopped; stand by while another relay holds the lease."""
    _conclude(serve(context.obj, drain=False, shards=shards))


@app.command()
def drain(context: typer.Context, shards: Shards = None) -> None:
    """Publish everything that is committed now, and end; for cron."""
    report = serve(context.obj, drain=True, shards=shards)
    for outcome in report.outcomes:
        if not outcome.halted:
            typer.echo(worded(outcome))
    _conclude(report)


@app.command()
def position(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """Show where Kafka and PostgreSQL say each shard is, and whether they agree; changes nothing."""
    found = positions(context.obj)
    if as_json:
        typer.echo(json.dumps([asdict(place) for place in found], default=str))
    for place in found if not as_json else ():
        typer.echo(f"shard {place.shard}: {place.verdict}")
        for name, fact in place.facts():
            typer.echo(f"  {name:<12} {fact}")
    raise typer.Exit(ExitCode.DONE if all(place.fits for place in found) else ExitCode.GUARANTEE)


@app.command("hanging")
def hanging_transactions(
    context: typer.Context,
    *,
    shards: Shards = None,
    end: Annotated[
        bool, typer.Option("--end", help="End each as it is proven to have ended; stop the relay first.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why, for the audit; needed with --end.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show the transactions that hide positions, and whether they were committed; changes nothing without --end."""
    found = list(hanging(context.obj, shards=shards, reason=(reason or "") if end else None))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], default=sorted))
    for one in found if not as_json else ():
        typer.echo(str(one))
    raise typer.Exit(ExitCode.DONE if all(one.well for one in found) else ExitCode.GUARANTEE)


app.command()(resync)


def _conclude(report: Report) -> None:
    """Raise what the command ends with, if it did not end well; the others are in the log."""
    if report.errors:
        raise report.errors[0]
    raise typer.Exit(ExitCode.DONE)


def worded(outcome: Outcome) -> str:
    """Return what came of one shard, for the person or the log of cron."""
    if outcome.holder is None:
        return f"shard {outcome.shard}: published {outcome.published} events"
    holder = outcome.holder
    who = holder.application_name or "a role whose sessions this one may not see"
    since = f", since {holder.since}" if holder.since else ""
    return f"shard {outcome.shard}: left to another relay, which holds the lease: pid {holder.pid} ({who}){since}"
