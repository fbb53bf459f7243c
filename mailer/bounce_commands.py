"""`outbox mail bounces`: read the notifications of what came back."""

import contextlib
import json
from collections import Counter
from typing import Annotated

import typer

from mailer.bounce_record import record_bounce
from mailer.bounces import Bounce, NotABounce, read_notification
from mailer.database import Database
from mailer.mail_commands import app
from mailer.mailboxes import Arrived, Mailbox, open_mailbox
from runtime import logs
from runtime.errors import SettingsError
from runtime.schema_version import require_schema
from runtime.settings import DatabaseSettings

__all__ = ["app"]


# "Known already" is also a message that was never ours to send: a notification can name any.
_OUTCOMES = ("bounced", "known already", "delayed", "not understood")


@app.command()
def bounces(
    *,
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]",
            envvar="OUTBOX_MAIL_BOUNCES",
            show_envvar=True,
            help="A maildir, or imaps://user:password@host/folder, imap:// by STARTTLS (better in the environment"
            " than in a history).",
        ),
    ] = None,
    ca_file: Annotated[str | None, typer.Option(help="Certificates to trust instead of the system's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON document on stdout.")] = False,
) -> None:
    """Read the unread notifications in a mailbox, once, for cron: what came back is marked `bounced`.

    Hard bounces are suppressed. What is understood is marked read; what is not, read and flagged for a person. Let the
    sender, OUTBOX_MAIL_FROM, be an address whose mail arrives there.
    """
    if source is None:
        raise SettingsError(("expected SOURCE, or OUTBOX_MAIL_BOUNCES, to say where notifications arrive",))
    settings = DatabaseSettings.load(context.obj)
    logs.configure(log_format=settings.log_format, log_level=settings.log_level)
    database = Database(settings.database_url, name="outbox mail bounces")
    with open_mailbox(source, ca_file=ca_file) as mailbox, contextlib.closing(database):
        require_schema(database.connection())
        outcomes = Counter(_read(arrived, mailbox, database, dry_run=dry_run) for arrived in mailbox.unread())
    if as_json:
        typer.echo(json.dumps({outcome: outcomes[outcome] for outcome in _OUTCOMES}))
        return
    typer.echo(", ".join(f"{outcomes[outcome]} {outcome}" for outcome in _OUTCOMES))


def _read(arrived: Arrived, mailbox: Mailbox, database: Database, *, dry_run: bool) -> str:
    """Return what became of one message; it is put aside only once what it says is committed."""
    found = read_notification(arrived.content)
    if isinstance(found, NotABounce):
        outcome = "not understood"
        typer.echo(f"{arrived.name}: {found.why}", err=True)
    elif isinstance(found, Bounce):
        outcome = "bounced" if dry_run or record_bounce(database, found) else "known already"
    else:
        outcome = "delayed"
    if not dry_run:
        mailbox.put_aside(arrived, understood=outcome != "not understood")
    return outcome
