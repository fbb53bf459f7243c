"""One redrive or discard as a person means it: shown first, agreed to, done at a rate, and accounted for."""

from collections.abc import Mapping
from dataclasses import dataclass

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from console import dead, output
from console.asking import agree
from console.database import Database
from console.dead_filter import Filter
from console.dead_view import render_plan
from console.errors import UsageError
from console.settings import ConsoleSettings
from runtime.exits import ExitCode
from runtime.stopping import StopSignal


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done to which dead letters, why, and how carefully."""

    action: dead.Action
    wanted: Filter
    reason: str
    every: bool
    rate: float | None
    dry_run: bool
    yes: bool
    as_json: bool


def act(env: Mapping[str, str], order: Order) -> None:
    """Carry *order* out; exit code 1 when anything was refused or left."""
    _check(order)
    with Database.open(ConsoleSettings.load(env).database_url) as database:
        plan = dead.plan(database, order.wanted, action=order.action)
        if not order.as_json:
            output.stdout().print(render_plan(plan, action=order.action))
        if order.dry_run or not plan.ids:
            _print_json(order, plan, dead.Result())
            return
        if not (order.yes or order.wanted.ids):  # to name the ids is to have agreed
            agree(f"{order.action} {output.counted(len(plan.ids), 'dead letter')}")
        result = _run(database, order, plan)
    _print_json(order, plan, result)
    if not order.as_json:
        _print(order, plan, result)
    if result.refused or len(result.outcomes) < len(plan.ids):
        raise typer.Exit(ExitCode.FAILED)


def _check(order: Order) -> None:
    if not order.reason.strip():
        raise UsageError("expected --reason to say why, got nothing")
    wanted = order.wanted
    if wanted.is_empty and not order.every:
        error = UsageError(f"expected ids or a filter to say which dead letters to {order.action}")
        error.add_note("name ids, filter (--stage, --with-reason, --type, …), or mean all of them with --all")
        raise error
    if wanted.ids and (order.every or not Filter(wanted.ids) == wanted):
        raise UsageError("expected either ids or a filter, got both")


def _run(database: Database, order: Order, plan: dead.Plan) -> dead.Result:
    result = dead.Result()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = order.as_json or (len(plan.ids) <= dead.BATCH and order.rate is None)
    with StopSignal.installed() as stop, Progress(*columns, console=output.stderr(), disable=hidden) as progress:
        task = progress.add_task(order.action, total=len(plan.ids))
        resolving = dead.resolve(
            database, plan.ids, action=order.action, reason=order.reason, per_second=order.rate, pause=stop.wait
        )
        for result in resolving:
            progress.update(task, completed=len(result.outcomes))
    return result


def _print_json(order: Order, plan: dead.Plan, result: dead.Result) -> None:
    if order.as_json:
        output.print_json(
            {
                "action": order.action,
                "dry_run": order.dry_run,
                "matched": len(plan.ids),
                "kinds": [dict(zip(("stage", "reason", "type", "count"), kind, strict=True)) for kind in plan.kinds],
                "held_behind": plan.held_behind,
                "unfit": plan.unfit,
                "done": result.done,
                "refused": result.refused,
                "outcomes": result.outcomes,
            }
        )


def _print(order: Order, plan: dead.Plan, result: dead.Result) -> None:
    for refused in result.refused:
        typer.echo(f"error: {refused.outcome}", err=True)
    if len(plan.ids) == 1:
        for done in (outcome for outcome in result.outcomes if outcome.done):
            typer.echo(f"dead letter {done.id}: {done.outcome}")
        return
    left = len(plan.ids) - len(result.outcomes)
    interrupted = f", {left:,} left: interrupted" if left else ""
    typer.echo(
        f"{order.action}: {result.done:,} of {len(plan.ids):,} done, {len(result.refused):,} refused{interrupted}"
    )
