"""`outbox relay resync`: shows what each choice would publish twice or never, and makes the one that is agreed to."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from relay.errors import InvalidOptionError
from relay.healing import hanging
from relay.resync.deciding import Choice, Identity
from relay.resync.errors import AgreementMissingError, PositionHangsError, ResyncRefusedError
from relay.resync.running import Request, Survey, execute, look
from relay.resync.words import listed, shown, told
from relay.resync.writing import Plan
from runtime.exits import ExitCode


def resync(  # noqa: PLR0917  # typer calls it by name
    context: typer.Context,
    shard: Annotated[int | None, typer.Argument(min=0, help="Which shard; or --all.")] = None,
    choice: Annotated[
        Choice | None,
        typer.Option("--from", help="What to trust; without it, every choice is shown and nothing is changed."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every shard.")] = False,
    reason: Annotated[str, typer.Option(help="Why; kept in outbox.audit.")] = "",
    same_install: Annotated[
        bool, typer.Option("--same-install", help="This database takes the place of the one that was.")
    ] = False,
    new_install: Annotated[
        bool, typer.Option("--new-install", help="The original goes on: give this copy a name of its own.")
    ] = False,
    since: Annotated[
        datetime | None, typer.Option(help="Read the topics from this time (UTC) on only; by default all of them.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Put the position of a stopped shard right: shows what each choice would publish twice or leave out, then asks.

    A transaction that hides the position is ended first, as it is proven to have ended, or nothing is done.
    """
    request = _request(shard, choice, every=every, same=same_install, new=new_install, since=since)
    if choice is not None and not reason.strip():
        raise AgreementMissingError("--reason")
    surveys = _looked(context.obj, request, reason=reason, yes=yes)
    _show(surveys, as_json=as_json and choice is None)
    if choice is None:
        raise typer.Exit(ExitCode.DONE)
    plans = [_planned(survey, choice, reason) for survey in surveys]
    if not yes:
        _agree(f"put {len(plans)} shard(s) right from {choice}")
    execute(context.obj, plans, done=lambda plan: typer.echo(told(plan), err=as_json))
    if as_json:
        typer.echo(json.dumps([listed(survey) for survey in surveys], default=str))
    raise typer.Exit(ExitCode.DONE)


def _looked(env: Mapping[str, str], request: Request, *, reason: str, yes: bool) -> list[Survey]:
    """Return what each choice would do, once nothing hangs; what does is ended for a choice only, shard by shard."""
    while True:
        try:
            return look(env, request)
        except PositionHangsError as hangs:
            if request.choice is None:
                raise
            _end(env, hangs, reason=reason, yes=yes)


def _end(env: Mapping[str, str], hangs: PositionHangsError, *, reason: str, yes: bool) -> None:
    """End what hangs on a shard as it is proven to have ended; raise *hangs* when that is not proven."""
    shard = str(hangs.shard)
    for found in hanging(env, shards=shard, reason=None):
        typer.echo(str(found), err=True)
        if found.diagnosis is None or found.diagnosis.outcome is None:
            raise hangs
        if not yes:
            _agree(f"end it as {found.diagnosis.outcome}")
    for ended in hanging(env, shards=shard, reason=reason):
        typer.echo(str(ended), err=True)
        if not ended.ended:
            raise hangs


def _request(
    shard: int | None, choice: Choice | None, *, every: bool, same: bool, new: bool, since: datetime | None
) -> Request:
    if every == (shard is not None):
        raise InvalidOptionError("SHARD", "expected one shard, or --all")
    if same and new:
        raise InvalidOptionError("--same-install", "expected one of --same-install and --new-install, got both")
    if new and not every:
        raise InvalidOptionError("--new-install", "expected --all with it: a name is that of all shards")
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    identity = Identity.SAME if same else Identity.NEW if new else Identity.AS_IT_IS
    return Request(None if shard is None else (shard,), choice, identity, since)


def _show(surveys: list[Survey], *, as_json: bool) -> None:
    """Show *surveys*: on stdout if that is all that is asked for, so that --json stays JSON."""
    if as_json:
        typer.echo(json.dumps([listed(survey) for survey in surveys], default=str))
        return
    for survey in surveys:
        for line in shown(survey):
            typer.echo(line, err=True)


def _planned(survey: Survey, choice: Choice, reason: str) -> Plan:
    plan = survey.plan(choice, reason)
    if isinstance(plan, str):
        raise ResyncRefusedError(survey.seen.shard, plan)
    return plan


def _agree(action: str) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        error = AgreementMissingError("--yes")
        error.add_note("look at what is shown above, then give --yes: nobody can be asked here")
        raise error
    typer.confirm(f"{action}?", abort=True, err=True)
