"""`outbox deliveries …`: look at mail that is owed, and settle what nobody but a person can."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from console import deliveries, output
from console.asking import agree
from console.database import Database
from console.dead_view import attempts, facts
from console.errors import UsageError
from console.moments import Moment, parse_moment
from console.options import AsJson, DryRun, Reason, Yes
from console.settings import ConsoleSettings
from console.status import DELIVERY_STATES
from runtime.exits import ExitCode

app = typer.Typer(help="Mail deliveries: list, and settle what is in doubt.", no_args_is_help=True)

Mail = Annotated[str | None, typer.Option(help="Only those of this mail.")]
Since = Annotated[str | None, typer.Option(help="Only those made since then: 2h, 3d, or a date.")]
Until = Annotated[str | None, typer.Option(help="Only those made before then.")]
Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Deliveries by id.")]
AllInDoubt = Annotated[bool, typer.Option("--all-in-doubt", help="Every delivery in doubt that the filters match.")]


class Settled(StrEnum):
    """What an operator can say of a delivery."""

    SENT = "sent"
    CANCELLED = "cancelled"


@app.command("ls")
def ls(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help=f"Only those in this state: {', '.join(DELIVERY_STATES)}.")] = None,
    mail: Mail = None,
    event: Annotated[str | None, typer.Option(metavar="EVENT_ID", help="Only those of this event.")] = None,
    since: Since = None,
    until: Until = None,
    before: Annotated[int | None, typer.Option(help="Only ids below this one: the next page.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most rows.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List deliveries, the newest first; recipients are not shown."""
    if state is not None and state not in DELIVERY_STATES:
        raise UsageError(f"expected --state to be one of {', '.join(DELIVERY_STATES)}, got {state!r}")
    wanted = deliveries.Filter(
        state=state,
        mail=mail,
        event_id=event and _uuid(event),
        since=_moment(since, "since"),
        until=_moment(until, "until"),
    )
    with Database.open(ConsoleSettings.load(context.obj).database_url) as database:
        rows = database.query(deliveries.page(wanted, before=before, limit=limit + 1))
    more = rows[limit - 1]["id"] if len(rows) > limit else None
    rows = rows[:limit]
    if as_json:
        output.print_json({"deliveries": rows, "next_before": more})
        return
    listed = output.table("#id", "made at", "mail", "type", "state", "#cycle", "#tries", "next", "event")
    for row in rows:
        due = output.moment(row["next_attempt_at"]) if row["state"] == "queued" else output.NOTHING
        made, event = output.moment(row["created_at"]), str(row["event_id"])
        numbers = (str(row["cycle"]), str(row["attempt"]))
        listed.add_row(str(row["id"]), made, row["mail"], row["event_type"], row["state"], *numbers, due, event)
    output.stdout().print(listed if rows else "no deliveries match")
    if more:
        output.stdout().print(f"the next with --before {more}", style="dim")


@app.command()
def show(
    context: typer.Context,
    delivery_id: Annotated[int, typer.Argument(metavar="ID", help="Its id, as `ls` shows it.")],
    payload: Annotated[bool, typer.Option("--payload", help="Also recipient and payload: personal data.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show everything about one delivery: every attempt with its reply, and who did what."""
    with Database.open(ConsoleSettings.load(context.obj).database_url) as database:
        whole = deliveries.shown(database, delivery_id, content=payload)
    if as_json:
        output.print_json(whole)
        return
    out = output.stdout()
    out.print(f"Delivery {delivery_id}", style="bold")
    out.print(facts(whole["delivery"]))
    out.print(attempts(whole["attempts"]))
    for action in whole["actions"]:
        out.print(f"{output.moment(action['at'])}  {action['actor']} {action['action']}: {action['reason']}")
    if content := whole.get("content"):
        out.print(facts(content))


@app.command()
def resend(
    context: typer.Context,
    reason: Reason,
    ids: Ids = None,
    all_in_doubt: AllInDoubt = False,
    mail: Mail = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Queue deliveries again: in doubt, suppressed or dead ones. One in doubt may arrive twice."""
    with Database.open(ConsoleSettings.load(context.obj).database_url) as database:
        wanted = deliveries.Filter(
            deliveries.IN_DOUBT, mail=mail, since=_moment(since, "since"), until=_moment(until, "until")
        )
        chosen = _chosen(database, ids, wanted=wanted, every=all_in_doubt)
        if _agreed(chosen, "resend", named=bool(ids), dry_run=dry_run, yes=yes, as_json=as_json):
            _conclude(deliveries.resend(database, chosen, reason=reason), as_json=as_json)


@app.command()
def close(
    context: typer.Context,
    reason: Reason,
    ids: Ids = None,
    as_state: Annotated[Settled, typer.Option("--as", help="It arrived, or it shall not be sent.")] = Settled.SENT,
    all_in_doubt: AllInDoubt = False,
    mail: Mail = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Say of deliveries in doubt that they arrived, or that they shall not be sent again; cancel queued ones."""
    with Database.open(ConsoleSettings.load(context.obj).database_url) as database:
        wanted = deliveries.Filter(
            deliveries.IN_DOUBT, mail=mail, since=_moment(since, "since"), until=_moment(until, "until")
        )
        chosen = _chosen(database, ids, wanted=wanted, every=all_in_doubt)
        if _agreed(chosen, f"close as {as_state}", named=bool(ids), dry_run=dry_run, yes=yes, as_json=as_json):
            _conclude(deliveries.close(database, chosen, as_state=as_state, reason=reason), as_json=as_json)


def _moment(text: str | None, option: str) -> Moment | None:
    return parse_moment(text, option=f"--{option}") if text else None


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise UsageError(f"expected an event id to be a UUID, got {text!r}") from None


def _chosen(database: Database, ids: list[int] | None, *, wanted: deliveries.Filter, every: bool) -> list[int]:
    if bool(ids) == every:
        raise UsageError("expected either ids or --all-in-doubt to say which deliveries")
    return list(dict.fromkeys(ids)) if ids else [row["id"] for row in database.query(deliveries.ids_of(wanted))]


def _agreed(chosen: Sequence[int], action: str, *, named: bool, dry_run: bool, yes: bool, as_json: bool) -> bool:
    """Return whether to go on: not for a dry run, nor where there is nothing; a filter needs a yes."""
    what = output.counted(len(chosen), "delivery", "deliveries")
    if dry_run or not chosen:
        output.print_json({"matched": len(chosen), "dry_run": dry_run}) if as_json else typer.echo(
            f"to {action}: {what}"
        )
        return False
    if not (yes or named):
        agree(f"{action} {what}")
    return True


def _conclude(outcomes: Sequence[deliveries.Outcome], *, as_json: bool) -> None:
    if as_json:
        output.print_json({"outcomes": outcomes})
    else:
        for one in outcomes:
            typer.echo(one.outcome if one.done else f"error: {one.outcome}", err=not one.done)
    if not all(one.done for one in outcomes):
        raise typer.Exit(ExitCode.FAILED)
