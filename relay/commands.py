"""`outbox relay …` and `outbox topics …`: what an operator, cron or a supervisor calls."""

import os
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from outbox.errors import OutboxError
from relay.errors import HaltedError, InvalidOptionError
from relay.lease import INSPECT, RESOLVE, Installation
from relay.loop import Outcome, ShardLoop
from relay.service import Report, chosen_shards, identify, open_topics, run_loops, wire
from relay.settings import RelaySettings
from relay.telemetry import Observer, Telemetry, log_observer
from runtime import logs
from runtime.exits import ExitCode
from runtime.stopping import StopSignal

app = typer.Typer(help="Publish committed events to Kafka, exactly once.", no_args_is_help=True)
topics_app = typer.Typer(help="Kafka's topics.", no_args_is_help=True)

Shards = Annotated[str | None, typer.Option(help="Which shards, as `0,2`; all of them when not given.")]


@app.command()
def run(shards: Shards = None) -> None:
    """Publish until stopped; stand by while another relay holds the lease."""
    raise typer.Exit(serve(os.environ, drain=False, shards=shards))


@app.command()
def drain(shards: Shards = None) -> None:
    """Publish everything that is committed now, and end; for cron."""
    raise typer.Exit(serve(os.environ, drain=True, shards=shards))


def serve(env: Mapping[str, str], *, drain: bool, shards: str | None, observers: Sequence[Observer] = ()) -> ExitCode:
    """Run a relay process, and return its exit code; *observers* see every telemetry event beside the log."""
    stop = StopSignal()
    stop.install()
    try:
        settings = RelaySettings.load(env)
        logs.configure(log_format=settings.log_format, log_level=settings.log_level)
        telemetry = Telemetry(log_observer(), *observers)
        installation = identify(settings, stop)
        wiring = wire(settings, installation, telemetry, stop)
        loops = [ShardLoop(wiring, shard, drain=drain) for shard in chosen_shards(_numbers(shards), installation)]
        report = run_loops(loops, failed=stop.set)
    except HaltedError as error:
        return _halted(error.reason)
    except Exception as error:
        return _failed(error)
    return _conclude(report, drain=drain)


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidOptionError("shards", f"expected numbers with commas between them, got {text!r}") from None


def _conclude(report: Report, *, drain: bool) -> ExitCode:
    for outcome in report.outcomes:
        if drain and not outcome.halted:
            typer.echo(_drained(outcome))
    for outcome in report.halted:
        _halted(f"shard {outcome.shard}: {outcome.halted}")
    for error in report.errors:
        _failed(error)
    if report.halted:
        return ExitCode.GUARANTEE
    return max((getattr(error, "exit_code", ExitCode.FAILED) for error in report.errors), default=ExitCode.DONE)


def _drained(outcome: Outcome) -> str:
    if outcome.holder is None:
        return f"shard {outcome.shard}: published {outcome.published} events"
    holder = outcome.holder
    return (
        f"shard {outcome.shard}: left to another relay, which holds the lease: pid {holder.pid} "
        f"({holder.application_name or 'not visible to this role'}), since {holder.since or 'unknown'}"
    )


def _halted(reason: str) -> ExitCode:
    typer.echo(f"stopped to keep the guarantee: {reason}", err=True)
    typer.echo(f"  look with `{INSPECT}`; once you know which side is right, resolve with `{RESOLVE}`", err=True)
    return ExitCode.GUARANTEE


def _failed(error: Exception) -> ExitCode:
    if not isinstance(error, OutboxError) and not getattr(error, "__notes__", None):
        raise error
    typer.echo(f"{error}", err=True)
    for note in getattr(error, "__notes__", ()):
        typer.echo(f"  {note}", err=True)
    return getattr(error, "exit_code", ExitCode.FAILED)
