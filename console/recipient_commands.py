"""`outbox mail suppress | unsuppress | suppressed | erase`: whom no mail goes to, and what is kept of a person.

The address is an argument, or `-` to read it from standard input: a shell keeps a history, and a machine a list of
processes. It is never printed.
"""

import contextlib
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer
from pydantic import Field, SecretStr
from rich.table import Table

from console import output
from console.asking import agree
from console.database import Database
from console.errors import UsageError
from console.options import AsJson, DryRun, Reason, Yes
from console.recipients import Erased, Known, Recipients
from console.settings import ConsoleSettings
from mailer.bounce_commands import app
from mailer.errors import AddressRefusedError
from mailer.guard import check_address
from runtime.exits import ExitCode

__all__ = ["app"]

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The recipient; - reads it from standard input.")]


class RecipientSettings(ConsoleSettings):
    """What these commands are told: the secret must be the mailer's, or no recipient is found."""

    mail_recipient_secret: SecretStr | None = Field(None, description="As the mailer's.")


@app.command()
def suppress(context: typer.Context, address: Address, reason: Reason, as_json: AsJson = False) -> None:
    """Hold all mail to a recipient from now on."""
    with _recipients(context) as recipients:
        _say(recipients.suppress(_checked(address), reason=reason), as_json=as_json)


@app.command()
def unsuppress(context: typer.Context, address: Address, reason: Reason, as_json: AsJson = False) -> None:
    """Let mail to a recipient through again, whatever it was held for."""
    with _recipients(context) as recipients:
        _say(recipients.unsuppress(_checked(address), reason=reason), as_json=as_json)


@app.command()
def suppressed(
    context: typer.Context,
    address: Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="Only this one; - reads it.")] = None,
    before: Annotated[datetime | None, typer.Option(help="Only those held before then: the next page.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most rows.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Say whose mail is held and why: of one recipient, or of all, by hashes, the newest first."""
    with _recipients(context) as recipients:
        if address is not None:
            _show(recipients.known(_checked(address)), as_json=as_json)
            return
        rows = recipients.suppressed(before=before and before.astimezone(), limit=limit)
    if as_json:
        output.print_json({"suppressed": rows})
        return
    listed = output.table("since", "recipient (hash)", "held", "why", "delivery")
    for row in rows:
        held = "all mail" if row["undeliverable"] else "what it unsubscribed from"
        since, short = output.moment(row["created_at"]), row["recipient"][:16]
        listed.add_row(since, short, held, row["reason"], str(row["delivery_id"] or output.NOTHING))
    output.stdout().print(listed if rows else "no mail is held")


@app.command()
def erase(
    context: typer.Context,
    address: Address,
    reason: Reason,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Erase a recipient from deliveries and kept records, for good; what is not sent yet never is.

    A hash of the address stays, so that a record which is read again owes nothing. Exit code 1 while a worker is
    sending to it: run it again. Events in outbox.event, in dead letters of stage publish and in Kafka are the host's.
    """
    with _recipients(context) as recipients:
        address = _checked(address)
        known = recipients.known(address)
        if dry_run:
            _show(known, as_json=as_json)
            return
        if not as_json:
            output.stdout().print(_table(known))
        if not yes:
            agree(f"erase this recipient from {output.counted(known.named, 'delivery', 'deliveries')}")
        erased = recipients.erase(address, reason=reason)
    output.print_json(erased) if as_json else typer.echo(_words(erased))
    if erased.held:
        raise typer.Exit(ExitCode.FAILED)


@contextlib.contextmanager
def _recipients(context: typer.Context) -> Iterator[Recipients]:
    settings = RecipientSettings.load(context.obj)
    with Database.open(settings.database_url) as database:
        yield Recipients(database, secret=settings.mail_recipient_secret)


def _checked(address: str) -> str:
    """Return the address that was meant; an erased one must be found as it was written, so it must be a valid one."""
    given = sys.stdin.readline().strip() if address == "-" else address
    try:
        return check_address(given)
    except AddressRefusedError as error:
        raise UsageError(f"expected ADDRESS to be an address as mail is sent to it: {error}") from None


def _say(outcome: str, *, as_json: bool) -> None:
    output.print_json({"outcome": outcome}) if as_json else typer.echo(outcome)


def _show(known: Known, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"deliveries": known.deliveries, "suppression": known.suppression})
        return
    if held := known.suppression:
        what = "all mail is held" if held["undeliverable"] else "what it unsubscribed from is held"
        typer.echo(f"{what} since {output.moment(held['created_at'])}: {held['reason']}")
    else:
        typer.echo("no mail is held")
    output.stdout().print(_table(known))


def _table(known: Known) -> Table | str:
    listed = output.table("state", "#deliveries", "#not erased")
    for row in known.deliveries:
        listed.add_row(row["state"], str(row["count"]), str(row["named"]))
    return listed if known.deliveries else "nothing was ever owed to it"


def _words(erased: Erased) -> str:
    left = f"; {erased.held} being sent at this moment: run it again in some minutes" if erased.held else ""
    taken = output.counted(erased.deliveries, "delivery", "deliveries")
    letters = output.counted(erased.dead_letters, "dead letter")
    return f"erased from {taken} ({erased.cancelled} of them cancelled) and {letters}{left}"
